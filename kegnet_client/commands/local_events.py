"""``kegnet-client local-events``: pours and temperatures of Kegbot's own sensor programs."""

import argparse
import functools
import logging
import os

from kegnet_client.commands import configuration
from kegnet_client.commands.parser import Parser
from kegnet_client.commands.producing import ProducerProcess, add_daemon_arguments, detach, hold_section, reading_rules
from kegnet_client.host.clock import Clock
from kegnet_client.host.log import set_up
from kegnet_client.producers.board_link import find_socket
from kegnet_client.producers.board_sensors import BoardSensors
from kegnet_client.producers.local_events import LocalEvents
from kegnet_client.producers.local_events_section import LOCAL_EVENTS
from kegnet_client.producers.redis_channel import RedisChannel
from kegnet_client.producers.total_meters import TotalMeters
from kegnet_client.spool.directory import enqueue
from kegnet_client.spool.section import SPOOL

KIND = "local-events"
NAME = "kegbot"
"""Of what it journals: there is one."""


def add_arguments(parser: Parser) -> None:
    """Add what ``local-events`` takes."""
    parser.add_argument("--verbose", action="store_true", help="log each message that is heard")
    add_daemon_arguments(parser)


def handle(options: argparse.Namespace) -> int:
    """Listen until SIGTERM or SIGINT."""
    set_up(os.environ)
    config = configuration.load(options)
    settings, spool, clock = config.section(LOCAL_EVENTS), config.section(SPOOL).directory, Clock()
    if options.verbose:
        logging.getLogger(LocalEvents.__module__).setLevel(logging.DEBUG)
    detached = detach(options, KIND, config.root)
    lock = hold_section(spool, KIND, NAME)
    process = ProducerProcess(KIND, config.root, clock, detached)
    changed = functools.partial(process.tell, NAME)
    producer = LocalEvents(
        port=settings.port,
        redis=None if settings.redis is None else RedisChannel(settings.redis),
        boards=settings.boards or {},
        boards_socket=find_socket(config.root),
        idle_s=settings.idle_s,
        make_meters=lambda ended: TotalMeters(spool, KIND, NAME, settings.rules, clock, changed, ended),
        sensors=BoardSensors(reading_rules(config), functools.partial(enqueue, spool), clock),
        changed=changed,
        clock=clock,
    )
    producer.take_up()
    process.add(NAME, producer)
    code = process.run()
    os.close(lock)
    return code
