"""``kegnet-client send``: deliver what is in the spool once, and end with what came of it."""

import argparse
import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.verbosity import add_verbosity, level_of
from kegnet_client.core.errors import RecordError, SpoolError, UntrustedServerError, UsageError
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.sink_queues import SPREADING, SinkQueues
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.destinations import find_addresses, open_all
from kegnet_client.spool.directory import Spool, count_waiting
from kegnet_client.spool.fan_out import find_queues
from kegnet_client.spool.section import SPOOL


def add_arguments(parser: Parser) -> None:
    """Add what ``send`` takes."""
    parser.add_argument("--sink", metavar="NAME", help="deliver to this sink alone; for the others it waits")
    add_verbosity(parser)


def handle(options: argparse.Namespace) -> int:
    """Try each record once and print a summary; the exit code says the worst that happened."""
    logging.basicConfig(level=level_of(options), format="%(message)s")
    config = configuration.load(options)
    directory = config.section(SPOOL).directory
    names = list(find_addresses(config))
    if options.sink and options.sink not in names:
        raise UsageError(f"there is no sink {options.sink}; the configuration names {', '.join(names)}")
    clock = Clock()
    destinations = open_all(config, clock, os.environ)
    progress: defaultdict[str, Progress] = defaultdict(Progress)
    with contextlib.closing(Spool(directory, make=False)) as spool:
        spool.lock()
        with contextlib.closing(SinkQueues(spool, destinations)) as queues:
            queues.recover()
            for name, uploader in queues.make_uploaders(clock, progress).items():
                if name == SPREADING or options.sink in (None, name):
                    uploader.drain()
    return _summarise(progress, directory, [options.sink] if options.sink else names)


def _summarise(progress: Mapping[str, Progress], directory: Path, names: list[str]) -> int:
    in_spool = count_waiting(directory)
    remaining = in_spool
    rejected = sum(one.rejected for one in progress.values())
    if SPREADING not in progress:
        accepted = sum(one.accepted for one in progress.values())
        print(f"{accepted} delivered, {rejected} rejected, {in_spool} left in the spool")
    else:
        for name in names:
            queue, one = find_queues(directory)[name], progress[name]
            remaining += queue.waiting
            print(f"{name}: {one.accepted} delivered, {one.rejected} rejected, {queue.waiting} left in its queue")
        print(f"{progress[SPREADING].rejected} rejected, {in_spool} left in the spool")
    if remaining and any(one.was_refused for one in progress.values()):
        return UntrustedServerError.exit_code
    if remaining:
        return SpoolError.exit_code
    return RecordError.exit_code if rejected else 0
