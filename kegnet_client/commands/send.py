"""``kegnet-client send``: deliver what is in the spool once, and end with what came of it."""

import argparse
import contextlib
import logging
import os
import random

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import RecordError, SpoolError, UntrustedServerError
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.destinations import open_the_one
from kegnet_client.spool.directory import Spool, count_waiting
from kegnet_client.spool.section import SPOOL


def add_arguments(_parser: Parser) -> None:
    """It takes nothing."""


def handle(options: argparse.Namespace) -> int:
    """Try each record once and print a summary; the exit code says the worst that happened."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = configuration.load(options)
    directory = config.section(SPOOL).directory
    clock = Clock()
    destination = open_the_one(config, clock, os.environ)
    progress = Progress()
    with contextlib.closing(Spool(directory, make=False)) as spool:
        spool.lock()
        Uploader(spool, destination.connect, clock, random.random, progress).drain()
    remaining = count_waiting(directory)
    print(f"{progress.accepted} delivered, {progress.rejected} rejected, {remaining} left in the spool")
    if remaining and progress.was_refused:
        return UntrustedServerError.exit_code
    if remaining:
        return SpoolError.exit_code
    return RecordError.exit_code if progress.rejected else 0
