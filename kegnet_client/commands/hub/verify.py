"""``kegnet-client hub verify``: the signature of every stored record, verified again."""

import argparse
import json
from collections import Counter
from contextlib import closing

from kegnet_client.commands.hub.actions import add_json
from kegnet_client.commands.hub.home import add_directory, find_home, open_store
from kegnet_client.commands.hub.progress import Progress, one_line
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import RecordError

_MAX_TOLD = 100


def add_arguments(parser: Parser) -> None:
    """Add what ``hub verify`` takes."""
    add_directory(parser)
    add_json(parser)


def handle(options: argparse.Namespace) -> int:
    """Name each record that does not verify."""
    kinds: Counter[str] = Counter()
    faults = inferred = 0
    told: list[dict[str, object]] = []
    with closing(open_store(find_home(options))) as store, Progress(store.count()) as progress:
        for one in store.verify_stored():
            kinds[one.table] += 1
            inferred += one.is_inferred
            if one.fault is not None:
                faults += 1
                if options.json:
                    if len(told) < _MAX_TOLD:
                        told.append({"table": one.table, "id": one.id, "device": one.device, "fault": one.fault})
                    progress.step()
                    continue
                row = " ".join(str(part) for part in (one.table, one.id) if part is not None)
                record = "" if one.record_id is None else f", record {one.record_id}"
                progress.print(one_line(f"{row} of {one.device}{record}: {one.fault}"))
            progress.step()
    if options.json:
        print(json.dumps({"counts": kinds, "inferred": inferred, "faults": faults, "told": told}))
        return RecordError.exit_code if faults else 0
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
