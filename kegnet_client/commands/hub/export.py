"""``kegnet-client hub export``: all that devices signed and people said, in one signed file; or tables, as CSV."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO

from kegnet_client.commands.hub.actions import add_json
from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.hub.progress import Steps
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import ConfigError, UsageError


def add_arguments(parser: Parser) -> None:
    """Add what ``hub export`` takes."""
    add_directory(parser)
    parser.add_argument("file", metavar="FILE", nargs="?", help="a new file; - is the standard output")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="instead, a new directory of tables for a spreadsheet")
    add_json(parser)


def handle(options: argparse.Namespace) -> int:
    """Export it."""
    if (options.file is None) == (options.csv is None):
        raise UsageError("name either a FILE for the signed ledger, or a directory for tables with --csv")
    os.nice(19)  # the hub and its devices come first
    try:
        return _export_csv(options) if options.file is None else _export_ledger(options)
    except OSError as error:
        raise ConfigError(f"{options.file or options.csv} cannot be written: {error.strerror}") from None


def _export_ledger(options: argparse.Namespace) -> int:
    from kegnet_client.hub.app import wall_ms
    from kegnet_client.hub.ledger import export
    from kegnet_client.hub.new_file import check_new, write_new

    home = find_home(options)
    counts: Mapping[str, int] = {}

    def fill(stream: BinaryIO, _work: Path) -> None:
        nonlocal counts
        with closing(open_store(home)) as store, Steps() as steps:
            counts = export.write_ledger(home, store, stream, wall_ms(), partial(steps.step, "rows written"))

    if options.file == "-":
        if sys.stdout.isatty() or options.json:
            raise UsageError("a ledger is not mixed with other output: redirect it, or name a file")
        fill(sys.stdout.buffer, Path())
        sys.stdout.buffer.flush()
        return 0
    file = Path(options.file).absolute()
    check_new(file)
    size = write_new(file, export.WORK_NAME, fill)
    if options.json:
        print(json.dumps({"file": str(file), "bytes": size, "counts": counts}))
        return 0
    print(f"{file} holds {_list(counts)} ({size / 1e6:.1f} MB).")
    print(
        "It holds no secret. Anybody can prove it, with ca.crt and `kegnet-client hub verify-export FILE --ca ca.crt`."
    )
    return 0


def _export_csv(options: argparse.Namespace) -> int:
    from kegnet_client.hub.ledger import export
    from kegnet_client.hub.new_file import write_new_directory

    directory = options.csv.absolute()
    with closing(open_store(find_home(options))) as store:
        counts: Mapping[str, int] = {}

        def fill(open_new: export.OpenNew) -> None:
            nonlocal counts
            with Steps() as steps:
                counts = export.write_csv(store, open_new, partial(steps.step, "rows written"))

        write_new_directory(directory, export.WORK_NAME, fill)
    if options.json:
        print(json.dumps({"directory": str(directory), "counts": counts}))
    else:
        print(f"{directory} holds {', '.join(f'{count} rows in {name}' for name, count in counts.items())}.")
    return 0


def _list(counts: Mapping[str, int]) -> str:
    names = {"key": "keys", "device": "devices", "entry": "entries", "request": "requests"}
    shown = {
        names.get(kind, kind): count for kind, count in counts.items() if kind not in ("ledger", "end", "signature")
    }
    return ", ".join(f"{count} {name}" for name, count in shown.items()) or "nothing but the hub's name"
