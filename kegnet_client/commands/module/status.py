"""``kegnet-client module status``: show which device runs what."""

import argparse
import json
import sys
from typing import Any

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser
from kegnet_client.runner.text import printable


def add_arguments(parser: Parser) -> None:
    """Add what ``module status`` takes."""
    parser.add_argument("--json", action="store_true", help="for programs: all that the devices say")
    add_database(parser)


def handle(options: argparse.Namespace) -> int:
    """Print the devices' own documents."""
    documents = [one for one in open_database(options).documents() if one.get("type") == "heartbeat"]
    if options.json:
        json.dump(documents, sys.stdout, indent=2)
        print()
        return 0
    for one in documents:
        device = str(one["_id"]).removesuffix("_heartbeat")
        print(printable(f"{device}  {one.get('uuid') or '-'}  {one.get('at')}  {one.get('ip')}"))
        for program in _rows(one.get("programs")):
            words = [str(program.get(name)) for name in ("name", "sequence", "digest", "signer", "state")]
            words += [f"since {program.get('since')}"]
            words += [f"last exit: {program['last_exit']}"] if program.get("last_exit") else []
            words += [f"({program['note']})"] if program.get("note") else []
            print(printable(f"  {'  '.join(words)}"))
        problems = one.get("problems")
        for problem in problems if isinstance(problems, list) else []:
            print(printable(f"  {problem}"))
        for refused in _rows(one.get("refused")):
            print(printable(f"  refused {refused.get('id')}: {refused.get('reason')}"))
    return 0


def _rows(value: object) -> list[dict[str, Any]]:
    """What a device says, and whoever else may write there: the rows that are some."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
