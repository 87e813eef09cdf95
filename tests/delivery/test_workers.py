"""The connections beside the first: threads that come and go with the work."""

import threading
from collections.abc import Callable, Iterator

import pytest

from kegnet_client.delivery.workers import WorkerPool
from kegnet_client.sinks.base import Sink

from ..support.sink import MemorySink
from ..support.threads import threads_named

TIMEOUT_S = 20.0


class Rig:
    """A `WorkerPool` whose members work until ``release`` lets the one with that number go, or what ``work`` does."""

    def __init__(self) -> None:
        self.lines: list[MemorySink] = []
        self.begun: list[tuple[int, Sink]] = []
        self.ended: list[Exception | None] = []
        self.work: Callable[[Sink, int], None] = self.wait
        self.workers = WorkerPool(self.open, lambda sink, number: self.work(sink, number), self.end)
        self._go = [threading.Event() for _ in range(9)]
        self._changed = threading.Condition()

    def open(self) -> MemorySink:
        self.lines.append(MemorySink(max_connections=8))
        return self.lines[-1]

    def wait(self, sink: Sink, number: int) -> None:
        with self._changed:
            self.begun.append((number, sink))
            self._changed.notify_all()
        assert self._go[number].wait(TIMEOUT_S)

    def end(self, fault: Exception | None) -> None:
        with self._changed:
            self.ended.append(fault)
            self._changed.notify_all()

    def release(self, *numbers: int) -> None:
        """Let these go, and wait until they are over."""
        before = len(self.ended)
        for number in numbers:
            self._go[number].set()
        self.wait_for(lambda: len(self.ended) == before + len(numbers))
        for number in numbers:
            self._go[number].clear()

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(what, TIMEOUT_S)

    def close(self) -> None:
        for go in self._go:
            go.set()
        self.workers.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()
    assert threads_named("uploader-") == []


def test_as_many_work_as_make_the_number_with_the_first_each_with_a_connection_of_its_own(rig: Rig) -> None:
    rig.workers.resize(4)
    rig.wait_for(lambda: len(rig.begun) == 3)

    assert {number for number, _ in rig.begun} == {1, 2, 3}
    assert len({id(sink) for _, sink in rig.begun}) == len(rig.lines) == 3
    assert threads_named("uploader-") == ["uploader-2", "uploader-3", "uploader-4"]
    assert rig.workers.is_busy


def test_with_one_connection_nobody_else_works(rig: Rig) -> None:
    rig.workers.resize(1)

    assert (rig.lines, rig.workers.is_busy, threads_named("uploader-")) == ([], False, [])


def test_those_at_work_are_not_doubled(rig: Rig) -> None:
    for _ in range(3):
        rig.workers.resize(3)
    rig.wait_for(lambda: len(rig.begun) == 2)

    assert len(rig.lines) == len(threads_named("uploader-")) == 2


def test_a_thread_ends_with_its_work_and_its_connection_stays_for_the_next(rig: Rig) -> None:
    rig.workers.resize(2)
    rig.release(1)
    assert (rig.ended, rig.workers.is_busy, rig.lines[0].closed) == ([None], False, 0)
    rig.workers.resize(2)
    rig.wait_for(lambda: len(rig.begun) == 2)

    assert rig.begun == [(1, rig.lines[0]), (1, rig.lines[0])]
    assert len(rig.lines) == 1


def test_what_is_idle_and_not_wanted_is_closed_and_what_works_is_left_alone(rig: Rig) -> None:
    rig.workers.resize(4)
    rig.wait_for(lambda: len(rig.begun) == 3)
    lines = {number: line for number, line in rig.begun if isinstance(line, MemorySink)}
    rig.release(3)
    rig.workers.resize(2)
    assert [lines[number].closed for number in (1, 2, 3)] == [0, 0, 1]
    rig.release(1, 2)
    rig.workers.resize(2)
    rig.wait_for(lambda: len(rig.begun) == 4)
    assert [lines[number].closed for number in (1, 2, 3)] == [0, 1, 1]
    assert rig.begun[3] == (1, lines[1])


def test_a_fault_is_handed_to_who_started_it_and_its_thread_is_over(rig: Rig) -> None:
    fault = ZeroDivisionError()

    def fail(_sink: Sink, _number: int) -> None:
        raise fault

    rig.work = fail
    rig.workers.resize(2)
    rig.wait_for(lambda: bool(rig.ended))

    assert rig.ended == [fault]
    assert not rig.workers.is_busy


def test_when_the_end_is_told_it_is_not_at_work_any_more(rig: Rig) -> None:
    busy: list[bool] = []
    workers = WorkerPool(rig.open, lambda _sink, _number: None, lambda _fault: busy.append(workers.is_busy))
    workers.resize(2)
    workers.close()

    assert busy == [False]


def test_abort_reaches_everybody_who_is_at_work(rig: Rig) -> None:
    def hang(sink: Sink, _number: int) -> None:
        assert isinstance(sink, MemorySink)
        assert sink.aborted.wait(TIMEOUT_S)

    rig.work = hang
    rig.workers.resize(4)
    rig.workers.abort()
    rig.wait_for(lambda: rig.ended == [None] * 3)


def test_close_waits_for_those_at_work_and_then_closes_every_connection_once(rig: Rig) -> None:
    rig.workers.resize(3)
    rig.wait_for(lambda: len(rig.begun) == 2)
    closing = threading.Thread(target=rig.workers.close)
    closing.start()
    rig.release(1)
    assert closing.is_alive()
    assert [line.closed for line in rig.lines] == [0, 0]
    rig.release(2)
    closing.join(TIMEOUT_S)

    assert not closing.is_alive()
    assert [line.closed for line in rig.lines] == [1, 1]
    rig.workers.close()
    assert [line.closed for line in rig.lines] == [1, 1]


@pytest.mark.case(71)
@pytest.mark.parametrize("lacking", ["uploader-3", "deadline"], ids=["for the worker", "for its connection"])
def test_where_the_machine_gives_no_more_threads_those_there_are_carry_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    start = threading.Thread.start

    def start_if_there_is_room(thread: threading.Thread) -> None:
        if thread.name == lacking:
            raise RuntimeError("can't start new thread")
        start(thread)

    open_sink = rig.open

    def open_with_a_deadline() -> MemorySink:
        if len(rig.lines) == 1:
            threading.Thread(name="deadline").start()
        return open_sink()

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_if_there_is_room)
        patch.setattr(rig.workers, "_open_sink", open_with_a_deadline)
        rig.workers.resize(4)
    assert threads_named("uploader-") == ["uploader-2"]

    rig.workers.resize(4)  # there is room again
    rig.wait_for(lambda: len(rig.begun) == 3)
    assert threads_named("uploader-") == ["uploader-2", "uploader-3", "uploader-4"]
    rig.release(1, 2, 3)
    rig.workers.resize(1)
    assert [line.closed for line in rig.lines] == [1] * len(rig.lines)
