"""``kegnet-client status``: what stands in the spool, and what the running process says of itself."""

import argparse
import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kegnet_client import __version__
from kegnet_client.commands import configuration
from kegnet_client.commands.meters import describe_meter, find_meters, when
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.producer_status import describe, read_producers
from kegnet_client.core.errors import SpoolError
from kegnet_client.core.records import format_celsius
from kegnet_client.host.colour import RED, paint
from kegnet_client.host.state_file import StateFile
from kegnet_client.sinks.destinations import find_addresses
from kegnet_client.spool.directory import NOT_REGULAR, count_waiting, find_irregular, printable
from kegnet_client.spool.fan_out import find_queues
from kegnet_client.spool.rejected import count_rejected
from kegnet_client.spool.section import SPOOL

LOOK_AT = "look at"
NOT_RUNNING = 3
"""The exit code when no process delivers, as that of ``systemctl status`` is."""


def add_arguments(parser: Parser) -> None:
    """Add what ``status`` takes."""
    parser.add_argument("--json", action="store_true", help="for programs")


def handle(options: argparse.Namespace) -> int:
    """Print how things are, for a person or for a program; `NOT_RUNNING` when nothing delivers."""
    config = configuration.load(options)
    spool = config.section(SPOOL).directory
    state = StateFile(config.root).read()
    waiting = _count_waiting(spool)
    problems = []
    try:
        rejected = count_rejected(spool)
    except SpoolError as error:
        rejected, problems = 0, [str(error)]
    try:
        queues = find_queues(spool)
    except SpoolError as error:
        queues, problems = {}, [*problems, str(error)]
    servers = find_addresses(config)
    status: dict[str, Any] = {
        "running": state is not None,
        "spool": str(spool),
        "waiting": waiting or 0,
        "rejected": rejected,
        "server": ", ".join(servers.values()),
        **(state or {}),
    }
    if queues:
        # As systemd's status line counts: a record waits for each sink that has not acknowledged it.
        status["waiting"] += sum(queue.waiting for queue in queues.values())
        status["queues"] = {name: asdict(queue) | {"server": servers.get(name)} for name, queue in queues.items()}
    meters = find_meters(config)
    status["meters"] = meters
    problems += [one["problem"] for one in meters.values() if one["problem"]]
    if state is None and waiting is not None:
        names = find_irregular(spool)
        problems += [f"{printable(name)} stays where it is: {NOT_REGULAR}" for name in names]
    producers = read_producers(config)
    if producers:
        status["producers"] = producers
    problems += [f"{one['kind']} {one['name']}: {one['problem']}" for one in producers if one.get("problem")]
    status["problems"] = [*status.get("problems", ()), *problems]
    # What the server, a sensor or a producer has named may hold anything.
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        for line in map(printable, _lines(status)):
            print(line.replace(LOOK_AT, paint(LOOK_AT, RED, sys.stdout), 1) if line.startswith(LOOK_AT) else line)
    return NOT_RUNNING if state is None else 0


def _count_waiting(spool: Path) -> int | None:
    """How many wait; None where there is no spool yet."""
    with contextlib.suppress(PermissionError):  # which is told below, with what to do
        if not spool.exists():
            return None
    return count_waiting(spool)


def _lines(status: dict[str, Any]) -> list[str]:
    lines = [
        f"waiting      {status['waiting']} in {status['spool']}",
        f"rejected     {status['rejected']}" + (" (see kegnet-client rejected list)" if status["rejected"] else ""),
    ]
    lines += [_describe_queue(name, queue) for name, queue in status.get("queues", {}).items()]
    if not status["running"]:
        head = f"kegnet-client {__version__} does not run"
        return [head, *lines, *_meters(status), *_producers(status), *_problems(status)]
    counters = status["counters"]
    acknowledged = status["last_acknowledged_ms"]
    lines += [_describe_link(sink) for sink in status.get("sinks", {"": status}).values()]
    lines += [
        f"delivered    {counters['accepted']} since the start"
        + (f"; last acknowledgement at {when(acknowledged)}" if acknowledged else ""),
        f"not taken    {counters['deferred']} tries deferred, {counters['misconfigured']} refused, "
        f"{counters['rejected']} records rejected, {counters['readings_not_taken']} readings not spooled",
    ]
    lines += [
        f"temperature  {format_celsius(one['millidegrees'])} from {one['sensor']} at {when(one['taken_ms'])}"
        for one in status["temperatures"]
    ]
    lines += [*_meters(status), *_producers(status), *_problems(status)]
    return [f"kegnet-client {status['version']} runs since {when(status['started_ms'])}, pid {status['pid']}", *lines]


def _meters(status: dict[str, Any]) -> list[str]:
    return [f"flow meter   {name}: {describe_meter(one)}" for name, one in status["meters"].items()]


def _describe_queue(name: str, queue: dict[str, Any]) -> str:
    rejected = f", {queue['rejected']} rejected (see kegnet-client rejected list --sink {name})"
    nobody = "" if queue["server"] else "; client.conf names no such sink any more, so it stays"
    return f"queue        {queue['waiting']} for {name}{rejected if queue['rejected'] else ''}{nobody}"


def _describe_link(sink: dict[str, Any]) -> str:
    return f"server       {sink['server']}, {sink['link']}" + (
        f": {sink['link_reason']}" if sink["link_reason"] else ""
    )


def _problems(status: dict[str, Any]) -> list[str]:
    return [f"{LOOK_AT}      {problem}" for problem in status["problems"]]


def _producers(status: dict[str, Any]) -> list[str]:
    return [f"{one['kind']:<11}  {line}" for one in status.get("producers", ()) for line in describe(one)]
