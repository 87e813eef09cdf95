"""From one spool to several queues: no record is lost on the way, and none gets into a queue twice."""

import os
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kegnet_client.core.errors import SpoolError
from kegnet_client.spool.directory import Spool, SpoolFile
from kegnet_client.spool.fan_out import QUEUES, TAKEN, FanOut, Queue, find_queues, identify, queue_path
from kegnet_client.spool.rejected import list_rejected, reject, retry

from .dying_os import die_after
from .fan_out_rig import MTIME_NS, A, B, C, deliver, drop, hidden, queued, take, take_all


def test_a_record_is_in_every_queue_and_not_in_the_spool_any_more(spool: Spool) -> None:
    drop(spool, 1)
    file = spool.read("1.pour")

    assert take(FanOut(spool, [A, B]), file) == [True]

    assert not spool.has("1.pour")
    assert queued(spool, A) == queued(spool, B) == [file.data.decode()]
    assert list((spool.path / QUEUES / TAKEN).iterdir()) == []
    copy = queue_path(spool.path, A) / identify(file)
    assert copy.stat().st_mtime_ns == MTIME_NS, "the backlog goes by age"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (spool.path / QUEUES).stat().st_mode & 0o777 == 0o700


def test_one_that_was_replaced_meanwhile_is_not_taken_for_the_other(spool: Spool) -> None:
    drop(spool, 1, "a.pour")
    file = spool.read("a.pour")
    drop(spool, 2, "a.pour")

    assert take(FanOut(spool, [A, B]), file) == [False]
    assert queued(spool, A) == []
    (spool.path / "a.pour").unlink()
    assert take(FanOut(spool, [A, B]), file) == [False]


def test_one_that_is_replaced_between_the_mark_and_its_removal_stays_beside_the_other(spool: Spool) -> None:
    drop(spool, 1, "a.pour")
    file = spool.read("a.pour")
    real = spool.remove

    def remove(one: object) -> bool:
        drop(spool, 2, "a.pour")
        return real(file)

    spool.remove = remove  # type: ignore[method-assign,assignment]  # the moment between two steps
    assert take(FanOut(spool, [A, B]), file) == [True]
    assert queued(spool, A) == [file.data.decode()]
    assert "0,3," in (spool.path / "a.pour").read_text()


@pytest.mark.case(121)
def test_a_name_that_is_used_again_takes_nothing_from_the_one_that_waits_in_a_queue(spool: Spool) -> None:
    for number in range(3):
        drop(spool, number, "a.pour")
        take_all(spool, [A, B])

    assert len(queued(spool, A)) == len(queued(spool, B)) == 3


@pytest.mark.case(121)
def test_a_name_that_is_used_again_before_its_file_could_be_removed_is_another_record(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(spool, 1, "a.pour")
    fan_out = FanOut(spool, [A, B])
    with monkeypatch.context() as patch:
        patch.setattr(spool, "remove", _refuse)
        with pytest.raises(OSError, match="Read-only"):
            take(fan_out, spool.read("a.pour"))
    drop(spool, 2, "a.pour")
    take_all(spool, [A, B], fan_out)
    FanOut(spool, [A, B]).recover()

    assert len(queued(spool, A)) == len(queued(spool, B)) == 2


@pytest.mark.case(104)
def test_one_that_is_remembered_without_its_bytes_goes_over_when_it_can(spool: Spool) -> None:
    drop(spool, 1)
    file = spool.read("1.pour")

    assert take(FanOut(spool, [A, B]), file.condensed()) == [True]
    assert queued(spool, A) == queued(spool, B) == [file.data.decode()]


def test_names_of_any_length_and_any_bytes_go_over(spool: Spool) -> None:
    names = ["x" * 250 + ".pour", "\udcff.pour", "new\nline.pour", "%s.pour"]
    for number, name in enumerate(names):
        drop(spool, number, name)
    take_all(spool, [A, B])

    assert len(queued(spool, A)) == len(queued(spool, B)) == len(names)


@pytest.mark.case(101)
@pytest.mark.parametrize("at_once", [1, 3])
def test_killed_before_any_step_it_is_in_each_queue_once_in_the_end(spool: Spool, at_once: int) -> None:
    step, is_over = 0, False
    while not is_over:
        delivered: Counter[tuple[str, str]] = Counter()
        for number in range(at_once):
            drop(spool, step * at_once + number)
        is_over = die_after(step, spool.path, lambda: take_all(spool, [A, B], at_once=at_once))
        for sink in (A, B):  # whoever delivers from the queues is not killed with it
            deliver(spool, sink, delivered)
        # The start after that is killed itself, then there is another one.
        die_after(step // 2, spool.path, lambda: FanOut(spool, [A, B]).recover())
        FanOut(spool, [A, B]).recover()
        take_all(spool, [A, B])
        for sink in (A, B):
            deliver(spool, sink, delivered)
        assert list(delivered.values()) == [1] * 2 * at_once, f"killed before step {step}"
        assert hidden(spool) == [], f"killed before step {step}"
        step += 1
    assert step > 20


def test_a_sink_that_was_marked_gets_its_record_whatever_the_configuration_says_later(spool: Spool) -> None:
    FanOut(spool, [A, B]).recover()
    step = 0
    while not any((spool.path / QUEUES / TAKEN).glob("[!.]*")):
        drop(spool, step)
        assert not die_after(step, spool.path, lambda: take_all(spool, [A, B]))
        step += 1
    FanOut(spool, [A]).recover()

    assert find_queues(spool.path)[B] == Queue(1, 0)


Step = tuple[str, int]
schedules = st.lists(
    st.tuples(st.sampled_from(("drop", "again", "take", "deliver", "configure", "start")), st.integers(0, 60)),
    max_size=40,
)
CONFIGURATIONS = ([A, B], [B, A], [A, B, C], [A], [B, C])


@pytest.mark.case(101)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=schedules)
def test_whatever_is_dropped_killed_and_reconfigured_each_record_goes_once_to_the_sinks_of_one_configuration(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    """``take``, ``configure`` and ``start`` are killed at the step of their number, if they have so many."""
    spool = Spool(tmp_path_factory.mktemp("spool"))
    delivered: Counter[tuple[str, str]] = Counter()
    in_force: list[Sequence[str]] = [CONFIGURATIONS[0]]
    dropped = 0
    for what, number in steps:
        match what:
            case "drop" | "again":
                drop(spool, dropped, f"same{number % 2}.pour" if what == "again" and number % 3 == 0 else "")
                dropped += 1
            case "deliver":
                deliver(spool, (A, B, C)[number % 3], delivered)
            case "configure":
                in_force.append(CONFIGURATIONS[number % len(CONFIGURATIONS)])
                die_after(number, spool.path, lambda: FanOut(spool, in_force[-1]).recover())
            case "start":
                die_after(number, spool.path, lambda: FanOut(spool, in_force[-1]).recover())
            case _:
                at_once = 1 + number % 4
                die_after(number, spool.path, partial(take_all, spool, in_force[-1], at_once=at_once))
    FanOut(spool, in_force[-1]).recover()
    take_all(spool, in_force[-1])
    for sink in (A, B, C):
        deliver(spool, sink, delivered)
    spool.close()
    assert all(count == 1 for count in delivered.values())
    got: dict[str, set[str]] = {}
    for sink, record in delivered:
        got.setdefault(record, set()).add(sink)
    assert all(any(sinks == set(one) for one in in_force) for sinks in got.values())
    assert hidden(spool) == []


def test_where_a_file_system_has_no_links_each_queue_has_a_copy(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    drop(spool, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        take_all(spool, [A, B])
    assert queued(spool, A) == queued(spool, B) == ["0,2,8123,1700000000001\n"]


@pytest.mark.case(103)
def test_one_that_cannot_be_removed_holds_up_none_of_those_that_are_taken_with_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        drop(spool, number)
    files = [spool.read(f"{number}.pour") for number in range(3)]
    fan_out = FanOut(spool, [A, B])
    real = spool.remove

    def refuse_second(file: SpoolFile) -> bool:
        if file.name == "1.pour":
            raise PermissionError(1, "Operation not permitted")
        return real(file)

    with monkeypatch.context() as patch:
        patch.setattr(spool, "remove", refuse_second)
        first, second, third = fan_out.take(files)
        assert (first, third) == (True, True)
        assert isinstance(second, PermissionError)
        FanOut(spool, [A, B]).recover()
        assert len(queued(spool, A)) == len(queued(spool, B)) == 2
    assert take(fan_out, files[1]) == [True]
    assert len(queued(spool, A)) == len(queued(spool, B)) == 3
    assert hidden(spool) == []


@pytest.mark.case(103)
def test_what_cannot_be_removed_from_the_spool_waits_and_goes_on_when_it_can(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(spool, 1)
    file = spool.read("1.pour")
    fan_out = FanOut(spool, [A, B])
    with monkeypatch.context() as patch:
        patch.setattr(spool, "remove", _refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="Read-only"):
                take(fan_out, file)
        FanOut(spool, [A, B]).recover()
        assert queued(spool, A) == [], "else it would be delivered, and taken once more after a restart"
    assert take(fan_out, file) == [True]
    assert queued(spool, A) == queued(spool, B) == [file.data.decode()]


def _refuse(_file: object) -> bool:
    raise OSError(30, "Read-only file system")


@pytest.mark.case(104)
def test_no_room_for_a_copy_leaves_the_record_in_the_spool(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(spool, 1)
    file = spool.read("1.pour")
    fan_out = FanOut(spool, [A, B])

    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("kegnet_client.spool.fan_out.write_all", full)
        with pytest.raises(OSError, match="No space"):
            take(fan_out, file)
    assert spool.has("1.pour")
    assert take(fan_out, file) == [True]
    assert len(queued(spool, B)) == 1


@pytest.mark.parametrize(
    "mark",
    [b"", b"\0" * 30, b"[]", b"7", b'{"records": 7, "sinks": []}', b'{"records": {"a": "b"}, "sinks": [7]}', b"\xff"],
)
def test_a_damaged_mark_keeps_its_copies_and_stops_nothing(spool: Spool, mark: bytes) -> None:
    drop(spool, 1)
    name = identify(spool.read("1.pour"))
    FanOut(spool, [A, B])
    (spool.path / QUEUES / TAKEN / name).write_bytes(mark)
    (queue_path(spool.path, A) / f".{name}").write_text("0,1,1,1700000000000\n")
    FanOut(spool, [A, B]).recover()
    assert len(hidden(spool)) == 1
    take_all(spool, [A, B])
    assert len(queued(spool, A)) == len(queued(spool, B)) == 1


def test_what_else_lies_among_the_queues_is_none_of_them(spool: Spool) -> None:
    FanOut(spool, [A, B])
    (spool.path / QUEUES / "notes").touch()
    (spool.path / QUEUES / "link").symlink_to("/nowhere")
    drop(spool, 1)
    FanOut(spool, [A, B]).recover()
    take_all(spool, [A, B])

    assert find_queues(spool.path) == {A: Queue(1, 0), B: Queue(1, 0)}


def test_a_rejected_record_of_a_queue_is_listed_and_goes_back_into_that_queue(spool: Spool) -> None:
    drop(spool, 1)
    take_all(spool, [A, B])
    path = queue_path(spool.path, B)
    queue = Spool(path, make=False)
    (name,) = (one.name for one in path.glob("*.pour"))
    assert reject(queue, queue.read(name), "no such pin", 0) is not None
    queue.close()
    assert find_queues(spool.path) == {A: Queue(1, 0), B: Queue(0, 1)}

    (rejected,) = list_rejected(path)
    assert retry(path, rejected.name).startswith(name.removesuffix(".pour"))
    assert find_queues(spool.path)[B] == Queue(1, 0)


def test_a_directory_of_a_neighbour_is_not_used_and_is_named(spool: Spool) -> None:
    if os.geteuid() != 0:
        pytest.skip("takes root: it gives a directory away")
    (spool.path / QUEUES).mkdir()
    os.chown(spool.path / QUEUES, 65534, 65534)

    with pytest.raises(SpoolError, match=r"\.queue: it belongs to the user nobody"):
        FanOut(spool, [A, B])
