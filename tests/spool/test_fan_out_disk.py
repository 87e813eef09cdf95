"""From one spool to several queues: what a power cut leaves of it, and how often it waits for the disk."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from disk import Disk, Operation, State
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.fan_out import MAX_AT_ONCE, FanOut, queue_path

from .dying_os import DyingOs, in_place_of_os
from .fan_out_rig import A, B, deliver, drop, queued, take, take_all


@pytest.mark.case(102)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_power_cut_after_any_step_loses_no_record_and_doubles_none_in_a_queue(
    tmp_path: Path, seed: int, at_once: int
) -> None:
    """Every state that the file system may be in then; what was delivered by then may be delivered once more."""
    (tmp_path / "spool").mkdir()
    spool = Spool(tmp_path / "spool")
    delivered: Counter[tuple[str, str]] = Counter()
    files = {}
    for number in range(2):
        drop(spool, number)
        files[f"{number}.pour"] = (spool.path / f"{number}.pour").read_bytes()
    disk = Disk(files)
    chance = Random(seed)  # noqa: S311  # to be repeated
    states: dict[tuple[frozenset[tuple[str, bytes | None]], frozenset[tuple[str, str]]], str] = {}

    def note(operation: Operation) -> None:
        if disk.apply(operation):
            for state in disk.states(chance):
                states.setdefault(
                    (frozenset(state.items()), frozenset(delivered)), f"{operation.call} {operation.paths}"
                )

    fake = DyingOs(spool.path, told=note)
    with in_place_of_os(fake):
        fan_out = FanOut(spool, [A, B])
        fan_out.recover()
        for begin in range(0, 2, at_once):
            take(fan_out, *(spool.read(f"{number}.pour") for number in range(begin, begin + at_once)))
            for path in queue_path(spool.path, A).glob("[!.]*.pour"):  # one sink is up, one is down
                delivered[A, path.read_text()] += 1
                fake.unlink(str(path.relative_to(spool.path)), dir_fd=spool.fd)
    spool.close()
    assert len(states) > 30
    for index, ((state, before), after) in enumerate(states.items()):
        _start_upon(tmp_path / str(index), dict(state), files, before, after)


def _start_upon(
    path: Path, state: State, files: dict[str, bytes], before: frozenset[tuple[str, str]], after: str
) -> None:
    path.mkdir()
    for name, data in sorted(state.items(), key=lambda item: (item[1] is not None, item[0])):
        if data is None:
            (path / name).mkdir(mode=0o700)
        else:
            (path / name).write_bytes(data)
    spool = Spool(path)
    FanOut(spool, [A, B]).recover()
    take_all(spool, [A, B])
    delivered: Counter[tuple[str, str]] = Counter()
    for sink in (A, B):
        deliver(spool, sink, delivered)
    spool.close()
    for record in map(bytes.decode, files.values()):
        for sink in (A, B):
            count = delivered[sink, record]
            was_delivered = (sink, record) in before
            assert count == 1 or (was_delivered and count == 0), f"after {after}: {sink} has {count} of {record}"
    assert set(delivered) <= {(sink, data.decode()) for sink in (A, B) for data in files.values()}


def test_many_at_once_take_the_disk_little_more_than_a_sync_each(spool: Spool) -> None:
    for number in range(MAX_AT_ONCE):
        drop(spool, number)
    fan_out = FanOut(spool, [A, B])
    operations: list[Operation] = []
    fake = DyingOs(spool.path, told=operations.append)
    with in_place_of_os(fake):
        take_all(spool, [A, B], fan_out, MAX_AT_ONCE)

    assert len(queued(spool, A)) == len(queued(spool, B)) == MAX_AT_ONCE
    syncs = [operation.paths for operation in operations if operation.call == "fsync"]
    assert len(syncs) <= MAX_AT_ONCE + 7, syncs
