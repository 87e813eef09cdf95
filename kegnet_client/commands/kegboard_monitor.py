"""``kegnet-client kegboard-monitor``: print each message of a Kegboard as it comes."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from kegnet_client.commands.parser import Parser
from kegnet_client.core.wire.kegboard import Event, FramingBroken, FramingFixed
from kegnet_client.core.wire.kegboard_messages import PingCommand
from kegnet_client.producers.base import Stop
from kegnet_client.producers.kegboard_port import open_board


def add_arguments(parser: Parser) -> None:
    """Add what ``kegboard-monitor`` takes."""
    parser.add_argument("--json", action="store_true", help="for programs: an object a line")
    parser.add_argument("--device", type=Path, metavar="PATH", help="the board's port (default: it is looked for)")


def handle(options: argparse.Namespace) -> int:
    """Print until Ctrl-C. Raises `BoardError` when there is no board, or not any more."""
    with open_board(options.device, Stop()) as port:
        print(f"listening to {port.path}", file=sys.stderr)
        port.send(PingCommand())
        while True:
            for event in port.read(None):
                _show(event, is_json=options.json)


def _show(event: Event, *, is_json: bool) -> None:
    is_framing = isinstance(event, FramingBroken | FramingFixed)
    if is_json:
        values = asdict(event) if isinstance(event, FramingBroken | FramingFixed) else event.values()
        print(json.dumps({"message": type(event).__name__, **values}), flush=True)
    else:
        print(event, file=sys.stderr if is_framing else sys.stdout, flush=True)
