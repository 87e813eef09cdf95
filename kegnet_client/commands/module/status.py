"""``kegnet-client module status``: show which device runs what."""

import argparse
import json
import sys

from kegnet_client.commands.module.options import add_database, open_database
from kegnet_client.commands.parser import Parser


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
        print(f"{one['_id'].removesuffix('_heartbeat')}  {one.get('uuid') or '-'}  {one.get('at')}  {one.get('ip')}")
        for program in one.get("programs", []):
            words = [str(program.get(name)) for name in ("name", "sequence", "digest", "signer", "state")]
            last = program.get("last_exit")
            print(f"  {'  '.join(words)}  since {program.get('since')}" + (f"  last exit: {last}" if last else ""))
        for refused in one.get("refused", []):
            print(f"  refused {refused.get('id')}: {refused.get('reason')}")
    return 0
