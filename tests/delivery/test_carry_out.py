"""When an acknowledged record leaves the spool: at once, or while the next request of a backlog is under way."""

from collections.abc import Callable, Sequence

import pytest

from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Verdict
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.sinks.base import Meanwhile, nothing
from kegnet_client.spool.directory import Spool

from ..support.clock import FakeClock
from ..support.sink import MemorySink
from ..support.spool_files import names, put
from ..support.waits import wait_until
from .rig import NOW_MS, TIMEOUT_S, Gate, Rig, line, pour


class Looking(MemorySink):
    """Sees what stands in the spool before and after what is done meanwhile."""

    def __init__(self, spool: Spool) -> None:
        super().__init__()
        self.seen: list[tuple[list[str], list[str]]] = []
        self._spool = spool

    def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
        before = names(self._spool)
        verdicts = super().send(records, meanwhile)
        self.seen.append((before, names(self._spool)))
        return verdicts


def test_a_record_of_a_backlog_leaves_while_the_next_one_waits_for_its_answer(spool: Spool) -> None:
    for number in (1, 2, 3):
        (spool.path / f"{number}.pour").write_bytes(line(number))
    sink = Looking(spool)
    Uploader(spool, lambda: sink, FakeClock(NOW_MS), lambda: 0.5, Progress()).drain()

    assert sink.seen == [
        (["1.pour", "2.pour", "3.pour"], ["1.pour", "2.pour", "3.pour"]),
        (["1.pour", "2.pour", "3.pour"], ["2.pour", "3.pour"]),
        (["2.pour", "3.pour"], ["3.pour"]),
    ]
    assert names(spool) == []


def test_a_record_with_none_behind_it_leaves_at_once(rig: Rig) -> None:
    rig.start()
    rig.put("x.pour", line(1))

    wait_until(lambda: not list(rig.spool.path.glob("*.pour")), "it stays", TIMEOUT_S)
    assert rig.numbers() == [1]


def test_a_record_leaves_before_anything_else_is_done(spool: Spool) -> None:
    (spool.path / "1.pour").write_bytes(line(1))
    sink = Looking(spool)
    uploader = Uploader(spool, lambda: sink, FakeClock(NOW_MS), lambda: 0.5, Progress())
    uploader.heartbeat(Heartbeat(NOW_MS))
    uploader.drain()

    assert sink.seen == [(["1.pour"], ["1.pour"]), ([], [])]


def test_after_a_stop_in_a_backlog_nothing_acknowledged_is_left(rig: Rig) -> None:
    rig.answer = gate = Gate()
    for number in (1, 2, 3):
        rig.put(f"{number}.pour", line(number), age_s=100 - number)
    rig.start()
    rig.wait_for_tries(1)
    rig.uploader.stop()
    gate.opened.set()
    rig.stop()

    assert rig.numbers() == [1]
    assert names(rig.spool) == ["2.pour", "3.pour"]


def test_what_is_written_over_an_acknowledged_record_before_it_leaves_is_kept_and_sent(spool: Spool) -> None:
    accepted: list[Record | Heartbeat] = []

    class Overwriting(MemorySink):
        def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
            if len(accepted) == 1:
                put(spool, "1.pour", line(9))
            accepted.extend(records)
            return super().send(records, meanwhile)

    for number in (1, 2, 3):
        (spool.path / f"{number}.pour").write_bytes(line(number))
    Uploader(spool, Overwriting, FakeClock(NOW_MS), lambda: 0.5, Progress()).drain()

    assert accepted == [pour(1), pour(2), pour(9), pour(3)]
    assert names(spool) == []


@pytest.mark.parametrize("deliver", [Uploader.drain, Uploader.run])
def test_a_fault_before_the_next_request_leaves_nothing_acknowledged_to_be_sent_again(
    spool: Spool, deliver: Callable[[Uploader], None]
) -> None:
    class Failing(MemorySink):
        def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
            if records == [pour(2)]:
                raise RuntimeError("a fault of our own")
            return super().send(records, meanwhile)

    for number in (1, 2, 3):
        (spool.path / f"{number}.pour").write_bytes(line(number))
    with pytest.raises(RuntimeError, match="a fault of our own"):
        deliver(Uploader(spool, Failing, FakeClock(NOW_MS), lambda: 0.5, Progress()))

    assert names(spool) == ["2.pour", "3.pour"]
