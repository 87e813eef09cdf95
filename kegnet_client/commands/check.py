"""``kegnet-client check``: is everything as it has to be? One line a part, and what to do where it is not.

It does for real what the daemon does: it connects, it signs, it sends one heartbeat, it reads the bus.
"""

import argparse
import contextlib
import errno
import functools
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from kegnet_client.commands import configuration
from kegnet_client.commands.meters import describe_meter, find_meters
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.producer_status import describe, read_producers
from kegnet_client.commands.report import Part, Report, print_part
from kegnet_client.config.settings import Config
from kegnet_client.core.errors import (
    BoardError,
    ClockError,
    LineError,
    SpoolError,
    ThermometerError,
    TransportError,
)
from kegnet_client.core.records import format_celsius
from kegnet_client.host.clock import Clock
from kegnet_client.producers.one_wire import BusReader, name_missing
from kegnet_client.producers.thermometer_section import THERMOMETER, ThermometerSettings
from kegnet_client.sinks.destinations import find_addresses, open_destination, send_sign_of_life
from kegnet_client.sinks.kegnet_section import KEGNET, KegNetSettings
from kegnet_client.sinks.open import find_identity, reach, send_heartbeat
from kegnet_client.spool.directory import Spool, count_waiting, explain, find_no_room
from kegnet_client.spool.lock import find_unlockable, is_delivered_from
from kegnet_client.spool.rejected import count_rejected
from kegnet_client.spool.section import SPOOL


def add_arguments(parser: Parser) -> None:
    """Add what ``check`` takes."""
    parser.add_argument("--json", action="store_true", help="for programs")


def handle(options: argparse.Namespace) -> int:
    """Print the report; the exit code is that of the first part that failed, or 0."""
    if not options.json:
        return _check(options, Report(print_part))
    parts: list[Part] = []
    code = _check(options, Report(parts.append))
    print(json.dumps([part._asdict() for part in parts], indent=2))
    return code


def _check(options: argparse.Namespace, report: Report) -> int:
    clock = Clock()
    config = report.on("configuration", lambda: configuration.load(options), lambda loaded: str(loaded.file))
    if config is None:
        return report.code
    kegnet = config.find(KEGNET)
    has_key = kegnet is None or _look_at_key(report, kegnet)
    report.on("spool", lambda: _look_at_spool(config.section(SPOOL).directory), str)
    report.on("clock", lambda: _look_at_clock(clock), str)
    if kegnet is not None and _look_at_server(report, kegnet, clock) and has_key:
        report.on("server", lambda: send_heartbeat(kegnet, clock, os.environ), str)
    for name in find_addresses(config):
        if name != "kegnet":
            report.on(name, functools.partial(_look_at_sink, name, config, clock), str)
    report.on("thermometer", lambda: _read_bus(config.section(THERMOMETER)), str)
    for name, meter in find_meters(config).items():
        report.on("flow meter", functools.partial(_look_at_meter, name, meter), str)
    for one in read_producers(config):
        report.on(one["kind"], functools.partial(_look_at_producer, one), str)
    return report.code


def _look_at_producer(producer: dict[str, Any]) -> str:
    text = "\n".join(describe(producer))
    if not producer["running"] or producer["problem"]:
        raise BoardError(text)
    return text


def _look_at_key(report: Report, settings: KegNetSettings) -> bool:
    identity = report.on("key", lambda: find_identity(settings, os.environ), lambda found: found.algorithm)
    return identity is not None


def _look_at_server(report: Report, settings: KegNetSettings, clock: Clock) -> bool:
    return report.on("TLS", lambda: _shake_hands(settings, clock), str) is not None


def _look_at_sink(name: str, config: Config, clock: Clock) -> str:
    return send_sign_of_life(open_destination(name, config, clock, os.environ, is_beside=True), clock)


def _look_at_spool(directory: Path) -> str:
    if not os.path.lexists(directory) and directory.parent.is_dir():
        return f"{directory} does not exist yet; the service makes it when it starts"
    with contextlib.closing(Spool(directory, make=False)) as spool:
        problem = _problem_of(spool)
        try:
            is_in_use = is_delivered_from(spool.path, spool.fd)
            delivers = "a kegnet-client delivers from it" if is_in_use else "nothing delivers from it at the moment"
        except SpoolError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            delivers = "whether something delivers from it is for its owner and root to see"
    if problem:
        raise SpoolError(f"{directory}: {problem}")
    count_rejected(directory)  # which tells of one that is somebody else's
    return f"{directory}, {count_waiting(directory)} waiting; {delivers}"


def _problem_of(spool: Spool) -> str | None:
    """Why records cannot be put into ``spool`` or taken out of it, and what to do."""
    if os.fstatvfs(spool.fd).f_flag & os.ST_RDONLY:
        return explain(OSError(errno.EROFS, os.strerror(errno.EROFS)))
    if not spool.is_writable():
        return "this user cannot write into it; give it access (chmod, or group kegnet)"
    if unlockable := find_unlockable(spool.path, spool.fd):
        return f"cannot be locked: {unlockable}"
    return find_no_room(spool.fd)


def _look_at_clock(clock: Clock) -> str:
    if doubt := clock.doubt():
        raise ClockError(doubt)
    return f"{datetime.fromtimestamp(clock.wall_ms() / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _shake_hands(settings: KegNetSettings, clock: Clock) -> str:
    base = settings.base
    if base.url.startswith("http:"):
        return "none: the server is on this machine"
    with contextlib.closing(reach(settings, clock)) as transport:
        try:
            secured = transport.shake_hands(base.url)
        except TransportError as error:
            raise type(error)(f"{base.host}:{base.port}: {error}") from error
        certificate = secured.getpeercert() or {}
        return f"{secured.version()}, {base.host}'s certificate is good until {certificate.get('notAfter')}"


def _look_at_meter(name: str, meter: Mapping[str, Any]) -> str:
    if meter["problem"]:
        raise LineError(meter["problem"])
    return f"{name}: {describe_meter(meter)}"


def _read_bus(settings: ThermometerSettings) -> str:
    bus = name_missing(BusReader(settings.directory).read(Event()), settings.sensor)
    failures = [f"{sensor} gives no reading: {why}" for sensor, why in bus.failures.items()]
    if failures or not bus.complete or (bus.problem and settings.sensor):
        raise ThermometerError("\n".join(filter(None, [bus.problem, *failures])))
    if bus.problem:  # who has no thermometer misses none
        return f"none: {bus.problem}"
    return "\n".join(f"{sensor} reads {format_celsius(value)}" for sensor, value in bus.millidegrees.items())
