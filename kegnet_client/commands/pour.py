"""``kegnet-client pour``: put one pour into the spool by hand."""

import argparse

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import ClockError, RecordError, UsageError
from kegnet_client.core.records import make_pour
from kegnet_client.host.clock import Clock
from kegnet_client.host.stdout import tell
from kegnet_client.spool.directory import enqueue
from kegnet_client.spool.section import SPOOL


def add_arguments(parser: Parser) -> None:
    """Add what ``pour`` takes."""
    parser.add_argument("--pin", type=int, required=True, help="the flow meter's pin, 0 to 255")
    parser.add_argument("--pulses", type=int, required=True, help="how many pulses it counted")
    parser.add_argument("--elapsed-ms", type=int, required=True, metavar="MS", help="how long the pour took")
    parser.add_argument("--started-ms", type=int, metavar="MS", help="Unix time of its start (default: just now)")


def handle(options: argparse.Namespace) -> int:
    """Spool the pour and print its path."""
    started_ms = options.started_ms
    if started_ms is None:
        clock = Clock()
        if doubt := clock.doubt():
            raise ClockError(f"{doubt}; or say when it was with --started-ms")
        started_ms = clock.wall_ms() - options.elapsed_ms
    try:
        pour = make_pour(options.pin, options.pulses, options.elapsed_ms, started_ms)
    except RecordError as error:
        raise UsageError(str(error)) from error
    directory = configuration.load(options).section(SPOOL).directory
    path = directory / enqueue(directory, pour)
    # The pour is safe: a failure to print its path must not make anybody give it once more.
    tell(str(path))
    return 0
