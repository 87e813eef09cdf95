"""The section [notify] of hub.conf: who is told of alarms."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from kegnet_client.config.settings import Section, Setting

DEFAULT_PER_HOUR = 20
MAX_PER_HOUR = 200

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """What the section says; the URLs hold passwords."""

    urls: tuple[str, ...] = field(default=(), repr=False)
    per_hour: int = DEFAULT_PER_HOUR


def _make(urls: tuple[str, ...] | None, per_hour: int) -> NotifySettings:
    return NotifySettings(urls or (), per_hour)


def _to_urls(text: str, _root: Path) -> tuple[str, ...]:
    urls = tuple(text.split())
    for number, url in enumerate(urls, 1):
        if not _URL.fullmatch(url):
            raise ValueError(f"number {number} is no URL; write them like ntfy://TOPIC, with spaces between")
    return urls


def _to_per_hour(text: str, _root: Path) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_PER_HOUR):
        raise ValueError(f"is not a number of messages; write a whole number from 1 to {MAX_PER_HOUR}, digits only")
    return int(text)


NOTIFY = Section(
    "notify",
    _make,
    (
        Setting(
            "urls",
            "urls",
            (
                "Who gets a message when an alarm is raised and when its cause is gone: URLs of Apprise (mail, ntfy,",
                "Telegram and many more), with spaces between. They hold passwords: nobody else may read this file.",
            ),
            _to_urls,
            example="mailtos://USER:PASSWORD@example.org ntfy://TOPIC",
            is_secret=True,
        ),
        Setting(
            "per_hour",
            "perHour",
            (f"How many messages within an hour at most, 1 to {MAX_PER_HOUR}; then one says how many were left out.",),
            _to_per_hour,
            default=str(DEFAULT_PER_HOUR),
        ),
    ),
)
