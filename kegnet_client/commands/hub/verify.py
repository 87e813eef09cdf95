"""``kegnet-client hub verify``: the signature of every stored record, verified again."""

import argparse
import sys
import time
from collections import Counter
from contextlib import closing

from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import RecordError

_PROGRESS_S = 0.2


def add_arguments(parser: Parser) -> None:
    """Add what ``hub verify`` takes."""
    add_directory(parser)


def handle(options: argparse.Namespace) -> int:
    """Name each record that does not verify."""
    kinds: Counter[str] = Counter()
    faults = inferred = 0
    with closing(open_store(find_home(options))) as store, _Progress(store.count()) as progress:
        for one in store.verify_stored():
            kinds[one.table] += 1
            inferred += one.is_inferred
            if one.fault is not None:
                faults += 1
                row = " ".join(str(part) for part in (one.table, one.id) if part is not None)
                record = "" if one.record_id is None else f", record {one.record_id}"
                progress.print(
                    f"{row} of {one.device}{record}: {one.fault}".encode("ascii", "backslashreplace").decode()
                )
            progress.step()
    if inferred:
        print(
            f"{inferred} records are neither proven nor faulty: they were stored before version 0.2.0, and that their "
            "device had the key that signed them follows from such records alone."
        )
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no records"
    if faults:
        print(f"{faults} of {kinds.total()} records do not verify ({found}): each is named above.")
        return RecordError.exit_code
    print(f"{'No record is faulty' if inferred else 'Every record verifies'}: {found}.")
    return 0


class _Progress:
    """How far it is, in one line of the terminal, where there is one."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shows = sys.stderr.isatty()
        self._due_s = 0.0

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_error: object) -> None:
        self._erase()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._shows and time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + _PROGRESS_S
            print(f"\r{self._done} of {self._total} records", end="", file=sys.stderr, flush=True)

    def print(self, line: str) -> None:
        """``line``, not mixed up with the progress."""
        self._erase()
        print(line, flush=True)

    def _erase(self) -> None:
        if self._shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
