"""``kegnet-client completion``: the script by which a shell completes this program's commands and options.

It is made of the parser itself, so that it offers what this version takes.
"""

import argparse
from pathlib import Path

from kegnet_client.commands.parser import Parser

SHELLS = ("bash", "zsh", "fish")
FILES = {"FILE", "PUBLIC_KEY.pem", "KEY.pub", "PATH", "pourd0.conf"}
"""What an argument is called that is a file; a ``DIR`` is a directory."""


def add_arguments(parser: Parser) -> None:
    """Add what ``completion`` takes."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def handle(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    for parser in options.program.walk():
        for action in parser.arguments():
            if action.metavar == "DIR":
                action.complete = shtab.DIRECTORY
            elif action.metavar in FILES or action.type is Path:
                action.complete = shtab.FILE
    print(shtab.complete(options.program, options.shell))
    return 0
