"""The section [hub] of hub.conf: the database, where the hub listens, who may read, how long events are kept."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kegnet_client.config.settings import Section, Setting, to_path
from kegnet_client.core.errors import UsageError
from kegnet_client.hub import DEFAULT_PORT
from kegnet_client.hub.proxy import Proxy
from kegnet_client.hub.store.database import check_url

_ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]+", re.IGNORECASE)
MAX_DAYS = 365
MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class HubSettings:
    """What the section says; ``database`` is None for the file of the hub's directory."""

    database: str | None = None
    database_password_file: Path | None = None
    bind: str | None = None
    port: int = DEFAULT_PORT
    proxy: str | None = None
    public_view: bool = False
    public_metrics: bool = False
    origins: tuple[str, ...] = ()
    events_kept_days: int = 7


def _to_database(text: str, _root: Path) -> str:
    try:
        check_url(text)
    except UsageError:
        raise ValueError("write it as postgresql+psycopg://USER@HOST/NAME or sqlite:////PATH") from None
    return text


def _to_address(text: str, _root: Path) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("is no address of this machine; write one, such as 192.168.1.2") from None
    return text


def _to_port(text: str, _root: Path) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_PORT):
        raise ValueError(f"is no port; write a whole number from 1 to {MAX_PORT}")
    return int(text)


def _to_proxy(text: str, _root: Path) -> str:
    try:
        Proxy(text)
    except UsageError:
        raise ValueError("write an IP address, or a network such as 192.168.1.0/24") from None
    return text


def to_yes(text: str, _root: Path) -> bool:
    """A switch."""
    if text.lower() not in ("yes", "no"):
        raise ValueError("write yes or no")
    return text.lower() == "yes"


def _to_origins(text: str, _root: Path) -> tuple[str, ...]:
    origins = tuple(text.split())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin[:60]!r} is no origin; write them like https://bar.example, with spaces between")
    return tuple(origin.lower() for origin in origins)


def _to_days(text: str, _root: Path) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_DAYS):
        raise ValueError(f"is not a number of days; write a whole number from 1 to {MAX_DAYS}, digits only")
    return int(text)


DEFAULTS = HubSettings()


def _make(**values: Any) -> HubSettings:
    return HubSettings(**{field: value for field, value in values.items() if value is not None})


HUB = Section(
    "hub",
    _make,
    (
        Setting(
            "database",
            "database",
            (
                "Where the database is, if it is not the file hub.db of the hub's directory: an SQLAlchemy URL. It may",
                "hold a password, so nobody else may read this file. `kegnet-client hub migrate` moves what there is.",
            ),
            _to_database,
            example="postgresql+psycopg://kegnet@localhost/kegnet",
            is_secret=True,
        ),
        Setting(
            "database_password_file",
            "databasePasswordFile",
            (
                "The file whose first line is the password at the database. Unless set, it is taken from PGPASSWORD or",
                "PGPASSFILE in the environment, as all of PostgreSQL's programs do, or from the URL.",
            ),
            to_path,
            example="database-password",
        ),
        Setting(
            "bind",
            "bind",
            ("The one address of this machine at which the hub listens. Unless set, it listens at every address.",),
            _to_address,
            example="192.168.1.2",
        ),
        Setting("port", "port", ("The port at which it listens.",), _to_port, default=str(DEFAULT_PORT)),
        Setting(
            "proxy",
            "proxy",
            ("The proxy, or the network of proxies, whose X-Forwarded headers are trusted. Unless set, none is.",),
            _to_proxy,
            example="127.0.0.1",
        ),
        Setting(
            "public_view",
            "publicView",
            ("Whether anybody on the network may see everything without a token. Nobody can change anything so.",),
            to_yes,
            default="no",
        ),
        Setting(
            "public_metrics",
            "publicMetrics",
            ("Whether /metrics needs no token, for a Prometheus that has none.",),
            to_yes,
            default="no",
        ),
        Setting(
            "origins",
            "origins",
            (
                "Other addresses under which browsers see this hub's pages, where a proxy does not pass on the name",
                "that the browser asked for; with spaces between. A page of these may do what its visitor's token may.",
            ),
            _to_origins,
            default=None,
            example="https://bar.example",
        ),
        Setting(
            "events_kept_days",
            "eventsKept",
            (f"For how many days subscribers can catch up with what they missed, 1 to {MAX_DAYS}.",),
            _to_days,
            default="7",
        ),
    ),
)
