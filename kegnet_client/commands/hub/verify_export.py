"""``kegnet-client hub verify-export``: a ledger proven on a machine that has nothing else of the hub."""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kegnet_client.commands.hub.actions import add_json
from kegnet_client.commands.hub.home import local_time
from kegnet_client.commands.hub.progress import Progress, one_line
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import RecordError, UsageError

if TYPE_CHECKING:
    from kegnet_client.hub.ledger.verify import Check

_MAX_TOLD = 100
_KINDS = ("pours", "temperatures", "heartbeats")


def add_arguments(parser: Parser) -> None:
    """Add what ``hub verify-export`` takes."""
    parser.add_argument("file", metavar="FILE", help="what `hub export` wrote; - is the standard input")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="the certificate of the CA that has to have signed it")
    add_json(parser)


def handle(options: argparse.Namespace) -> int:
    """Name each fault in it."""
    from kegnet_client.host.regular_file import open_regular, read_regular
    from kegnet_client.hub.ledger.verify import Check
    from kegnet_client.keys import MAX_KEY_FILE_BYTES

    try:
        check = Check(None if options.ca is None else read_regular(options.ca, MAX_KEY_FILE_BYTES))
    except OSError as error:
        raise UsageError(f"{options.ca} cannot be read: {error.strerror}") from None
    if options.file == "-":
        return _verify(options, check, sys.stdin.buffer)
    try:
        fd = open_regular(Path(options.file))
    except OSError as error:
        raise UsageError(f"{options.file} cannot be read: {error.strerror}") from None
    with os.fdopen(fd, "rb") as stream:
        return _verify(options, check, stream)


def _verify(options: argparse.Namespace, check: "Check", stream: BinaryIO) -> int:
    told: list[dict[str, object]] = []
    faults = 0
    with Progress(what="lines") as progress:

        def readline(most_bytes: int) -> bytes:
            progress.step()
            return stream.readline(most_bytes)

        for fault in check.run(readline):
            faults += 1
            if faults <= _MAX_TOLD:
                told.append({"line": fault.number or None, "what": fault.what, "fault": fault.text})
                if not options.json:
                    progress.print(one_line(str(fault)))
    ca = None if check.ca_der is None else hashlib.sha256(check.ca_der).hexdigest()
    if options.json:
        facts = {"made_ms": check.made_ms, "ca_sha256": ca, "counts": check.counts, "inferred": check.inferred}
        print(json.dumps({**facts, "faults": faults, "told": told}))
    else:
        _tell(check, faults, ca, ca_is_known=options.ca is not None)
    return RecordError.exit_code if faults else 0


def _tell(check: "Check", faults: int, ca: str | None, *, ca_is_known: bool) -> None:
    found = ", ".join(f"{check.counts[kind]} {kind}" for kind in _KINDS if check.counts[kind]) or "no records"
    if faults > _MAX_TOLD:
        print(f"... and {faults - _MAX_TOLD} more.")
    if faults:
        print(f"The ledger is not proven ({found}): {faults} faults, each is named above.")
        return
    if check.inferred:
        print(
            f"{check.inferred} records are neither proven nor faulty: they were stored before version 0.2.0, and that "
            "their device had the key that signed them follows from such records alone."
        )
    print(f"{'No record is faulty' if check.inferred else 'Every record verifies'}: {found}.")
    made = "" if check.made_ms is None else f" at {local_time(check.made_ms)}"
    print(f"No byte was changed since the hub wrote it{made}, signed by the CA {ca}.")
    if not ca_is_known:
        print(
            "Whose CA that is, the file cannot show: name its certificate with --ca (devices have it as conf/ca.crt)."
        )
    print(
        "Nor can it show what was removed from the hub before it was written, unless a request that is here holds it; "
        f"and the {check.counts['entry']} entries of people are the hub's word."
    )
