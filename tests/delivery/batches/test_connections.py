"""Several connections at once, where there is a round trip between."""

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Sequence

import pytest

from kegnet_client.core.records import Heartbeat, Record
from kegnet_client.core.verdict import Verdict
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.base import Meanwhile, nothing
from kegnet_client.spool.directory import Spool

from ...support.sink import MemorySink
from ...support.waits import WAIT_S
from .rig import ACCEPTED, NO_ROUTE, NOW_MS, RoundTrip, Run, Server, drain, put, waiting


def test_with_a_round_trip_between_several_connections_carry_a_backlog(spool: Spool) -> None:
    put(spool, *range(1, 501))
    line = RoundTrip()
    server = Server(line, max_records=1, max_connections=4)
    drain(spool, server)

    assert line.most > 1
    assert server.accepted == Counter(range(1, 501))
    assert waiting(spool) == set()
    assert line.most <= 4, "more than are of use"
    assert server.opened == server.closed


def test_one_connection_is_left_when_the_backlog_is_gone(spool: Spool, run: Run) -> None:
    put(spool, *range(1, 501))
    server = Server(RoundTrip(), max_records=1, max_connections=4)
    run(server)
    server.wait_for(lambda: server.accepted.total() == 500)

    server.wait_for(lambda: server.opened > 1 and server.closed == server.opened - 1)


def test_a_sign_of_life_waits_for_the_other_connections_without_keeping_the_processor_busy(
    spool: Spool,
) -> None:
    put(spool, *range(1, 121))
    hold, held = threading.Event(), threading.Event()
    line = RoundTrip()
    main: list[int] = []

    def behave(pulses: list[int]) -> Verdict:
        if not pulses:
            return ACCEPTED
        verdict = line(pulses)
        if threading.get_ident() not in main and line.most > 1 and not held.is_set():
            held.set()
            assert hold.wait(WAIT_S)
        return verdict

    class CountingClock(Clock):
        looks = 0

        def monotonic_s(self) -> float:
            self.looks += 1
            return super().monotonic_s()

    clock = CountingClock()
    server = Server(behave, max_records=1, max_connections=2)
    uploader = Uploader(spool, server.connect, clock, lambda: 0.5, Progress())

    def work() -> None:
        main.append(threading.get_ident())
        uploader.run()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert held.wait(WAIT_S)
        server.wait_for(lambda: server.accepted.total() == 119)
        uploader.heartbeat(Heartbeat(NOW_MS))
        before = clock.looks
        assert not threading.Event().wait(0.3)
        assert clock.looks - before < 100
        hold.set()
        server.wait_for(lambda: [] in server.requests)
    finally:
        hold.set()
        uploader.stop()
        thread.join(WAIT_S)


def test_a_single_pour_takes_no_second_connection(spool: Spool, run: Run) -> None:
    server = Server(RoundTrip(), max_records=1, max_connections=4)
    run(server)
    for number in range(1, 30):
        put(spool, number)
        server.wait_for(lambda number=number: server.accepted[number] == 1)  # type: ignore[misc]  # a default of its own

    assert server.opened == 1


def test_a_failure_with_several_under_way_loses_and_doubles_nothing(spool: Spool, run: Run) -> None:
    put(spool, *range(1, 501))
    line = RoundTrip()
    numbers = itertools.count()

    def behave(pulses: list[int]) -> Verdict:
        verdict = line(pulses)
        return NO_ROUTE if next(numbers) in range(200, 203) else verdict

    server = Server(behave, max_records=1, max_connections=4)
    run(server)
    server.wait_for(lambda: server.accepted.total() == 500)

    assert server.accepted == Counter(range(1, 501))


def test_a_fault_in_one_connections_thread_ends_the_uploader(spool: Spool) -> None:
    put(spool, *range(1, 501))
    line = RoundTrip()
    main = threading.get_ident()

    def behave(pulses: list[int]) -> Verdict:
        if threading.get_ident() != main:
            raise ZeroDivisionError
        return line(pulses)

    with pytest.raises(ZeroDivisionError):
        drain(spool, Server(behave, max_records=1, max_connections=4))


def test_a_fault_in_one_connections_thread_leaves_nothing_acknowledged_to_be_sent_again(spool: Spool) -> None:
    put(spool, *range(1, 501))
    server = Server(RoundTrip(), max_records=1, max_connections=2)
    main = threading.get_ident()

    class Failing(MemorySink):
        sent = 0

        def send(self, records: Sequence[Record | Heartbeat], meanwhile: Meanwhile = nothing) -> list[Verdict]:
            self.sent += threading.get_ident() != main
            if self.sent == 3:
                raise ZeroDivisionError
            return super().send(records, meanwhile)

    uploader = Uploader(spool, lambda: Failing(server.take, max_connections=2), Clock(), lambda: 0.5, Progress())
    with pytest.raises(ZeroDivisionError):
        uploader.drain()

    assert waiting(spool) == set(range(1, 501)) - set(server.accepted)


def test_an_outage_with_several_under_way_is_told_once(
    spool: Spool, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    put(spool, *range(1, 301))
    line = RoundTrip()
    began = threading.Event()

    def behave(pulses: list[int]) -> Verdict:
        verdict = line(pulses)
        if line.most > 1:
            began.set()
        return NO_ROUTE if began.is_set() else verdict

    server = Server(behave, max_records=1, max_connections=4)
    run(server)
    assert began.wait(WAIT_S)
    server.wait_for(lambda: server.closed == server.opened - 1)

    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["no route. Records stay in the spool and are tried again"]
