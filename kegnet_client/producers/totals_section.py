"""What the sections of producers that count by totals have in common: when a pour ends, and what is none."""

from kegnet_client.config.settings import Setting, to_whole

TOTALS_SETTINGS = (
    Setting(
        "idle_s",
        "idle",
        ("A pour is over when nothing flowed for so many seconds, 1 to 60.",),
        to_whole(1, 60),
        default="10",
    ),
    Setting(
        "minimum",
        "minimum",
        ("Fewer pulses than this, 1 to 100000, are no pour: they are added up as drips.",),
        to_whole(1, 100_000),
        default="54",
    ),
    Setting(
        "max_hz",
        "maxHz",
        ("Pulses that come faster than so many a second, 10 to 100000, are no pour, but a loose wire.",),
        to_whole(10, 100_000),
        default="2000",
    ),
)
