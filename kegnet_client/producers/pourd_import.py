"""pourd's old files, ``pourd<pin>.conf``, as sections [FlowMeter NAME] of client.conf. Pure but for the reading.

pourd took its pin from its command line and from the file's name: the number by wiringPi, which is not the one on the
chip. It is kept as the pin of the records, so that a server goes on with the tap that it knows.
"""

import configparser
import re
from pathlib import Path

from kegnet_client.core.errors import ConfigError
from kegnet_client.host.regular_file import read_regular
from kegnet_client.producers.flow_meter_section import FLOW_METER, MAX_IDLE_MS, MAX_MINIMUM, MIN_IDLE_MS

MAX_BYTES = 4096
SILENCE_MS = 1000
MINIMUM = 200
"""What pourd took for a setting that is not there, or 0."""

BCM = dict(
    zip([*range(8), *range(21, 30)], [17, 18, 27, 22, 23, 24, 25, 4, 5, 6, 13, 19, 26, 12, 16, 20, 21], strict=True)
)
"""The line of the chip that is wiringPi's pin, on every Raspberry Pi with forty pins."""

_NAME = re.compile(r"pourd([0-9]{1,2})\.conf")


def read_pourd(file: Path) -> tuple[str, str]:
    """The name of the section that is pourd's ``file``, and its text. `ConfigError` says why there is none."""
    match = _NAME.fullmatch(file.name)
    pin = int(match[1]) if match else -1
    if pin not in BCM:
        raise ConfigError(f"{file}: is not called pourd<pin>.conf, with one of wiringPi's pins: 0 to 7, 21 to 29")
    try:
        text = read_regular(file, MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{file}: cannot be read: {why}") from None
    return f"tap{pin}", parse_pourd(text, pin, file)


def parse_pourd(text: str, pin: int, file: Path) -> str:
    """The section that means what ``text``, the content of pourd's ``file``, did."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
        silence_ms = parser.getint("pourd", "pour_delay_ms", fallback=0) or SILENCE_MS
        minimum = parser.getint("pourd", "min_pour_pulses", fallback=0) or MINIMUM
    except (configparser.Error, ValueError) as error:
        raise ConfigError(f"{file}: is not what pourd reads: {str(error).splitlines()[0]}") from None
    silence_ms = max(MIN_IDLE_MS, min(silence_ms, MAX_IDLE_MS))
    lines = [
        f"[{FLOW_METER.title(f'tap{pin}')}]",
        f"line = GPIO{BCM[pin]}",
        f"pin = {pin}",
        f"idle = {silence_ms / 1000:g}",
        f"minimum = {max(1, min(minimum, MAX_MINIMUM))}",
    ]
    return "\n".join(lines) + "\n"
