"""``kegnet-client hub check``: is the hub as it has to be? One line a part, and what to do where it is not.

It looks and changes nothing; the hub may run meanwhile or not.
"""

import argparse
import datetime
import json
import os
import ssl
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from kegnet_client.commands.hub.home import add_directory, find_home
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.report import Part, Report, print_part
from kegnet_client.core.errors import ClockError, ConfigError
from kegnet_client.host.clock import Clock

if TYPE_CHECKING:
    from kegnet_client.hub.home import Home

MIN_FREE = 0.05
"""A database that finds no room takes nothing more."""


def add_arguments(parser: Parser) -> None:
    """Add what ``hub check`` takes."""
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def handle(options: argparse.Namespace) -> int:
    """Print the report; the exit code is that of the first part that failed, or 0."""
    parts: list[Part] = []
    report = Report(parts.append if options.json else print_part)
    clock = Clock()
    home = find_home(options)
    report.on("clock", lambda: _look_at_clock(clock), str)
    config = report.on("configuration", home.config, lambda _: _describe_settings(home))
    report.on("certificate", lambda: _look_at_certificate(home, clock), str)
    report.on("token", lambda: _look_at_token(home.token(), home.token_file), str)
    if config is not None:
        report.on("database", lambda: _look_at_database(home.database()), str)
        report.on("disk", lambda: _look_at_disk(home.directory), str)
    if options.json:
        print(json.dumps([part._asdict() for part in parts]))
    return report.code


def _look_at_clock(clock: Clock) -> str:
    if doubt := clock.doubt():
        raise ClockError(doubt)
    return f"{_now(clock):%Y-%m-%d %H:%M:%S} UTC"


def _describe_settings(home: "Home") -> str:
    return str(home.settings) if home.settings.exists() else f"as by default: there is no {home.settings}"


def _look_at_certificate(home: "Home", clock: Clock) -> str:
    from kegnet_client.hub import pki

    now = _now(clock)
    certificate, key = home.server_pair()
    for what, pem in (("the CA's", home.ca()), ("the server's", certificate.read_bytes())):
        begin, end = pki.life_of(pem, what)
        if not begin <= now < end:
            raise ConfigError(
                f"{what} certificate is good from {begin:%Y-%m-%d} to {end:%Y-%m-%d}: set the clock if that is wrong; "
                "`kegnet-client hub run` renews the server's by itself, the CA's takes a new hub"
            )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:
        raise ConfigError(f"{certificate} and {key} cannot be used together: {error}") from None
    return f"for {', '.join(home.hosts())}; good until {end:%Y-%m-%d}, and renewed before that while the hub runs"


def _look_at_token(_token: str, file: Path) -> str:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise ConfigError(f"others than its owner can open {file}: chmod 600 {file}")
    return f"in {file}"


def _look_at_database(database: Path | str) -> str:
    from sqlalchemy import make_url

    from kegnet_client.hub.store import schema
    from kegnet_client.hub.store.database import Database, StoreError

    if isinstance(database, Path) and not database.exists():
        raise StoreError(f"{database} is missing: put it back from a backup")
    with closing(Database(database)) as opened:
        version = opened.read(schema.version_of)
    name = str(database) if isinstance(database, Path) else make_url(database).render_as_string(hide_password=True)
    if obstacle := schema.find_obstacle(version):
        raise StoreError(f"{name} {obstacle}")
    if version != schema.VERSION:
        raise StoreError(f"{name} is not up to date: `kegnet-client hub run` does that when it starts")
    return f"{name}, version {version}"


def _look_at_disk(directory: Path) -> str:
    from kegnet_client.hub.store.database import StoreError

    disk = os.statvfs(directory)
    # Some file systems (btrfs, network ones) do not count blocks.
    free = disk.f_bavail / disk.f_blocks if disk.f_blocks else 1.0
    if free < MIN_FREE:
        raise StoreError(f"{free:.0%} of the disk of {directory} is free: make room, a full one takes no records")
    return f"{free:.0%} of the disk of {directory} is free"


def _now(clock: Clock) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(clock.wall_ms() / 1000, datetime.UTC)
