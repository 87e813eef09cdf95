"""``kegnet-client module sign``: make a signed document of a program."""

import argparse
import json
from pathlib import Path

from kegnet_client.commands.module.options import add_signing, address
from kegnet_client.commands.parser import Parser
from kegnet_client.host.clock import Clock


def add_arguments(parser: Parser) -> None:
    """Add what ``module sign`` takes."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a directory of modules with main.py, one file of Python, or a .json",
    )
    parser.add_argument("--name", help="what it is called (default: as the source)")
    parser.add_argument("--sequence", type=int, metavar="N", help="above all before it (default: the time in seconds)")
    add_signing(parser, is_command=False)


def handle(options: argparse.Namespace) -> int:
    """Print the document."""
    from kegnet_client.runner.compose import compose_program, sign_document

    now_ms = Clock().wall_ms()
    document = compose_program(options.source, address(options, now_ms), now_ms)
    print(json.dumps(sign_document(document, options.key), indent=2))
    return 0
