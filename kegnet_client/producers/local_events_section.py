"""The section [LocalEvents]: where Kegbot's sensor programs are listened to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_whole
from kegnet_client.core.flow import FlowRules
from kegnet_client.core.records import MAX_PIN
from kegnet_client.core.wire.local_events import CHANNEL, PORT
from kegnet_client.producers.totals_section import TOTALS_SETTINGS

_BOARD = re.compile(r"([^\s.,:]{1,100}):([0-9]{1,3})")
_REDIS = re.compile(r"(redis|rediss|unix)://\S+")


@dataclass(frozen=True, slots=True)
class LocalEventsSettings:
    """What the section says; ``boards`` has the first pin of each board by its name."""

    port: int
    redis: str | None
    boards: Mapping[str, int]
    idle_s: int
    minimum: int
    max_hz: int

    @property
    def rules(self) -> FlowRules:
        """When a pour ends, and what is none."""
        return FlowRules(idle_ms=self.idle_s * 1000, minimum=self.minimum, max_hz=self.max_hz)


def _to_redis(text: str, _root: Path) -> str:
    if not _REDIS.fullmatch(text):
        raise ValueError("is not the address of a Redis server; write it like redis://localhost:6379/0")
    return text


def _to_boards(text: str, _root: Path) -> Mapping[str, int]:
    found = [_BOARD.fullmatch(part.strip()) for part in text.split(",")]
    boards = {match[1]: int(match[2]) for match in found if match is not None}
    if len(boards) != len(found) or len(set(boards.values())) != len(found) or max(boards.values()) > MAX_PIN:
        raise ValueError(f"is not boards with pins of their own, 0 to {MAX_PIN}; write it like kegboard:0, other:6")
    return boards


LOCAL_EVENTS = Section(
    "LocalEvents",
    LocalEventsSettings,
    (
        Setting(
            "port",
            "port",
            ("Where Kegbot's sensor programs are listened to, on this machine alone, 1 to 65535.",),
            to_whole(1, 65535),
            default=str(PORT),
        ),
        Setting(
            "redis",
            "redis",
            (f"A Redis server on whose channel {CHANNEL} they are heard, too.",),
            _to_redis,
            example="redis://localhost:6379/0",
            is_secret=True,
        ),
        Setting(
            "boards",
            "boards",
            (
                f"The pin, 0 to {MAX_PIN}, that the first meter (flow0) of each board is reported as. One that is not",
                "named here begins at 0.",
            ),
            _to_boards,
            example="kegboard:0, kegboard-0123abcd:6",
        ),
        *TOTALS_SETTINGS,
    ),
)
