"""``kegnet-client module run``: have devices run a command once, and print what it says."""

import argparse
import sys
import time

from kegnet_client.commands.module.options import add_database, add_signing, address, open_database, to_seconds
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import TransportError, UsageError
from kegnet_client.host.clock import Clock
from kegnet_client.runner.text import printable

LOOK_AGAIN_S = 0.5


def add_arguments(parser: Parser) -> None:
    """Add what ``module run`` takes."""
    parser.add_argument("words", nargs="+", metavar="WORD", help="after --: a program and its arguments")
    parser.add_argument("--wait", type=to_seconds, default=60.0, metavar="S", help="for the results, seconds (60)")
    add_signing(parser, is_command=True)
    add_database(parser)


def handle(options: argparse.Namespace) -> int:
    """Sign, push, wait. Its exit code is 0 when every device that was named has run it well."""
    from kegnet_client.runner.compose import compose_command, sign_document

    if not options.to:
        raise UsageError("--to: say which device, or all")
    couch = open_database(options)
    now_ms = Clock().wall_ms()
    document = sign_document(compose_command(options.words, address(options, now_ms), now_ms), options.key)
    couch.replace(document)
    print(f"{document['_id']} is in the database", file=sys.stderr)
    # Those that say "all" wait for as long as they said, since nobody knows how many there are.
    awaited = None if "all" in options.to else len(set(options.to))
    until_s, seen, failed = time.monotonic() + options.wait, set[str](), False
    while awaited is None or len(seen) < awaited:
        key = f"{document['_id']}_ret_"
        for result in couch.documents(startkey=key, endkey=key + "\ufff0"):
            if result["_id"] not in seen:
                seen.add(result["_id"])
                failed |= result.get("exit") != 0
                _show(result)
        if time.monotonic() > until_s:
            break
        time.sleep(LOOK_AGAIN_S)
    if not seen or (awaited is not None and len(seen) < awaited):
        raise TransportError(
            f"{len(seen)} of {awaited or 'all'} devices have answered; the others may until it expires"
        )
    return int(failed)


def _show(result: dict[str, object]) -> None:
    out, err = (printable(result.get(name) or "", keep="\n\t") for name in ("stdout", "stderr"))
    print(printable(f"{result.get('device')}: exit {result.get('exit')}"), file=sys.stderr)
    sys.stdout.write(out)
    sys.stdout.flush()
    sys.stderr.write(err)
