"""Many records in one request, over several connections: a real spool, and a server that does what a test says."""

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from kegnet_client.clock import Clock
from kegnet_client.core.delivery import Disposition, Verdict
from kegnet_client.core.records import Heartbeat, Pour, Record, format_record
from kegnet_client.progress import Progress
from kegnet_client.rejected import list_rejected
from kegnet_client.spool import Spool
from kegnet_client.uploader import Uploader

TIMEOUT_S = 20.0
NOW_MS = 1_800_000_000_000

ACCEPTED = Verdict(Disposition.ACCEPTED, "the server answered 200", 200)
REJECTED = Verdict(Disposition.REJECTED, "the server says: no", 200)
NO_ROUTE = Verdict(Disposition.DEFERRED, "no route")
BROKEN = Verdict(Disposition.DEFERRED, "the server answered 500", 500, record_may_be_the_cause=True)
FORBIDDEN = Verdict(Disposition.MISCONFIGURED, "the server answered 403: register", 403)

Behaviour = Callable[[list[int]], Verdict | list[Verdict]]
"""What a request with pours of so many pulses is answered: a verdict for each, or one for the whole of it."""


class Server:
    """Makes connections that carry ``max_records`` in a request, and remembers what came over them."""

    def __init__(self, behave: Behaviour, max_records: int = 500, max_connections: int = 1) -> None:
        self.behave = behave
        self.max_records = max_records
        self.max_connections = max_connections
        self.requests: list[list[int]] = []
        self.accepted: Counter[int] = Counter()
        self.opened = 0
        self.closed = 0
        self.changed = threading.Condition()

    def connect(self) -> "Connection":
        with self.changed:
            self.opened += 1
        return Connection(self)

    def take(self, records: Sequence[Record | Heartbeat]) -> list[Verdict]:
        pulses = [record.pulses for record in records if isinstance(record, Pour)]
        with self.changed:
            self.requests.append(pulses)
            self.changed.notify_all()
        answer = self.behave(pulses)
        verdicts = answer if isinstance(answer, list) else [answer] * len(records)
        with self.changed:
            self.accepted.update(
                number for number, verdict in zip(pulses, verdicts, strict=False) if verdict is ACCEPTED
            )
            self.changed.notify_all()
        return verdicts

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, TIMEOUT_S), (self.requests, self.accepted)

    def sizes(self) -> list[int]:
        return [len(request) for request in self.requests]


class Connection:
    def __init__(self, server: Server) -> None:
        self._server = server
        self.max_records = server.max_records
        self.max_connections = server.max_connections
        self.send = server.take

    def abort(self) -> None:
        """Nothing here takes its time."""

    def close(self) -> None:
        with self._server.changed:
            self._server.closed += 1
            self._server.changed.notify_all()


def accept(_pulses: list[int]) -> Verdict:
    return ACCEPTED


def put(spool: Spool, *numbers: int) -> None:
    for number in numbers:
        temp = spool.path / f".{number}.tmp"
        temp.write_bytes(format_record(Pour(0, number, 1000, NOW_MS + number)))
        temp.rename(spool.path / f"{number}.pour")


def drain(spool: Spool, server: Server) -> Progress:
    progress = Progress()
    Uploader(spool, server.connect, Clock(), lambda: 0.5, progress).drain()
    return progress


def waiting(spool: Spool) -> set[int]:
    return {int(name.removesuffix(".pour")) for name in spool.scan(10_000).finish().oldest}


def waiting_names(spool: Spool) -> list[str]:
    return spool.scan(10_000).finish().oldest


def rejected(spool: Spool) -> set[int]:
    return {int(one.name.removesuffix(".pour")) for one in list_rejected(spool.path)}


@pytest.fixture
def run(spool: Spool) -> Iterator[Callable[[Server], Uploader]]:
    """``run(server)`` is an uploader at work, until the end of the test."""
    started: list[tuple[Uploader, threading.Thread]] = []

    def start(server: Server) -> Uploader:
        uploader = Uploader(spool, server.connect, Clock(), lambda: 0.5, Progress())
        thread = threading.Thread(target=uploader.run, daemon=True)
        thread.start()
        started.append((uploader, thread))
        assert uploader.scanned.wait(TIMEOUT_S)
        return uploader

    yield start
    for uploader, thread in started:
        uploader.stop()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


# --- requests of many ------------------------------------------------------------------------------------------


def test_a_backlog_goes_in_full_requests_oldest_first(spool: Spool) -> None:
    put(spool, *range(1, 1201))
    server = Server(accept)
    drain(spool, server)

    assert server.sizes() == [500, 500, 200]
    assert [number for request in server.requests for number in request] == list(range(1, 1201))
    assert waiting(spool) == set()


def test_each_verdict_is_about_its_record_alone(spool: Spool) -> None:
    put(spool, *range(1, 101))
    progress = drain(spool, Server(lambda pulses: [REJECTED if number % 3 == 0 else ACCEPTED for number in pulses]))

    assert rejected(spool) == {number for number in range(1, 101) if number % 3 == 0}
    assert waiting(spool) == set()
    assert (progress.accepted, progress.rejected) == (67, 33)


def test_a_server_that_rejects_all_is_distrusted_after_ten(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    put(spool, *range(1, 101))
    drain(spool, Server(lambda pulses: [REJECTED] * len(pulses)))

    assert rejected(spool) == set(range(1, 11))
    assert waiting(spool) == set(range(11, 101))
    assert "the server rejected 10 records in a row" in caplog.text


def test_a_request_that_is_too_large_is_halved_until_it_passes(spool: Spool) -> None:
    too_large = Verdict(Disposition.DEFERRED, "the server answered 413", 413, record_may_be_the_cause=True)
    put(spool, *range(1, 501))
    server = Server(lambda pulses: ACCEPTED if len(pulses) <= 60 else too_large)
    drain(spool, server)

    assert server.sizes()[:4] == [500, 250, 125, 62]
    assert server.accepted == Counter(range(1, 501))
    assert waiting(spool) == set()


def test_one_record_that_always_earns_a_5xx_holds_up_nobody_and_nothing_waits_for_it(spool: Spool) -> None:
    put(spool, *range(1, 501))
    server = Server(lambda pulses: BROKEN if 137 in pulses else ACCEPTED)
    progress = drain(spool, server)

    assert server.accepted == Counter(set(range(1, 501)) - {137})
    assert waiting(spool) == {137}
    assert progress.rejected == 0
    assert [137] in server.requests, "it was tried alone"


def test_records_that_come_meanwhile_do_not_suffer_for_one_that_earns_a_5xx(
    spool: Spool, run: Callable[[Server], Uploader]
) -> None:
    newcomers = iter(range(1, 30))
    both_are_there = threading.Event()

    def behave(pulses: list[int]) -> Verdict:
        if pulses == [500]:
            assert both_are_there.wait(TIMEOUT_S)
        # During each request another pour arrives, older than the bad one by its own time.
        put(spool, *itertools.islice(newcomers, 1))
        return BROKEN if 901 in pulses else ACCEPTED

    server = Server(behave)
    run(server)
    put(spool, 500)
    server.wait_for(lambda: server.requests == [[500]])
    put(spool, 900, 901)
    both_are_there.set()
    server.wait_for(lambda: server.accepted.total() == 31 and [901] in server.requests)
    first, *others = [set(request) for request in server.requests if 901 in request]

    assert first == {1, 900, 901}
    assert all(other <= first for other in others), "no other shared its fate"


def test_what_fails_as_a_whole_stays_as_a_whole(spool: Spool) -> None:
    put(spool, *range(1, 301))
    server = Server(lambda _: NO_ROUTE)
    drain(spool, server)

    assert waiting(spool) == set(range(1, 301))
    assert server.sizes() == [300]


def test_what_is_misconfigured_rejects_nothing(spool: Spool) -> None:
    put(spool, *range(1, 301))
    drain(spool, Server(lambda _: FORBIDDEN))

    assert waiting(spool) == set(range(1, 301))
    assert rejected(spool) == set()


def test_a_record_that_stands_there_many_times_is_sent_once_and_all_of_its_files_are_done_with(spool: Spool) -> None:
    put(spool, 1, 2)
    for number in (1, 2):
        for copy in range(300):
            (spool.path / f"{number}-{copy}.pour").write_bytes((spool.path / f"{number}.pour").read_bytes())
    server = Server(lambda pulses: [REJECTED if number == 1 else ACCEPTED for number in pulses])
    drain(spool, server)

    assert all(len(set(request)) == len(request) for request in server.requests)
    assert server.accepted[2] <= 2, "602 files fit in two requests"
    assert waiting_names(spool) == []
    assert len(list_rejected(spool.path)) == 301


def test_a_bad_record_that_stands_there_many_times_is_one_rejection_and_no_bad_server(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    put(spool, 1)
    for copy in range(14):
        (spool.path / f"1-{copy}.pour").write_bytes((spool.path / "1.pour").read_bytes())
    drain(spool, Server(lambda pulses: [REJECTED] * len(pulses)))

    assert len(list_rejected(spool.path)) == 15
    assert "in a row" not in caplog.text


def test_after_a_failure_requests_grow_again(spool: Spool) -> None:
    put(spool, *range(1, 1001))
    failures = iter([BROKEN] * 4)
    server = Server(lambda _: next(failures, ACCEPTED))
    drain(spool, server)

    assert server.sizes() == [500, 250, 125, 62, 31, 62, 124, 248, 35, 500]


def test_a_small_request_names_its_records_in_the_log_and_a_large_one_their_number(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put(spool, 1, 2)
    drain(spool, Server(accept))
    put(spool, *range(3, 14))
    drain(spool, Server(accept))

    lines = [line.partition(" (")[0] for line in caplog.messages if line.startswith("delivered")]
    assert lines == [
        "delivered 1.pour: pour of 1 pulses in 1.0 s on pin 0",
        "delivered 2.pour: pour of 2 pulses in 1.0 s on pin 0",
        "delivered 11 records, 3.pour to 13.pour",
    ]


# --- while a request is under way ------------------------------------------------------------------------------


def test_a_fresh_pour_goes_with_the_next_request_of_a_backlog(spool: Spool, run: Callable[[Server], Uploader]) -> None:
    put(spool, *range(1, 1001))
    go_on = threading.Event()

    def behave(_pulses: list[int]) -> Verdict:
        assert go_on.wait(TIMEOUT_S)
        return ACCEPTED

    server = Server(behave, max_records=50)
    run(server)
    server.wait_for(lambda: len(server.requests) == 1)
    put(spool, 5000)
    go_on.set()
    server.wait_for(lambda: len(server.requests) >= 2)

    assert 5000 in server.requests[1]


def test_a_name_that_is_used_again_while_its_record_is_under_way_loses_none(
    spool: Spool, run: Callable[[Server], Uploader]
) -> None:
    put(spool, 1)
    used_again = threading.Event()

    def behave(_pulses: list[int]) -> Verdict:
        assert used_again.wait(TIMEOUT_S)
        return ACCEPTED

    server = Server(behave)
    run(server)
    server.wait_for(lambda: server.requests == [[1]])
    (spool.path / ".new.tmp").write_bytes(format_record(Pour(0, 2, 1000, NOW_MS)))
    (spool.path / ".new.tmp").rename(spool.path / "1.pour")
    used_again.set()
    server.wait_for(lambda: server.accepted == Counter({1: 1, 2: 1}))


# --- several connections ---------------------------------------------------------------------------------------


class RoundTrip:
    """A server with a round trip between: every exchange takes as long, however many there are at once."""

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, _pulses: list[int]) -> Verdict:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(0.03)
        with self._lock:
            self._now -= 1
        return ACCEPTED


def test_with_a_round_trip_between_several_connections_carry_a_backlog(spool: Spool) -> None:
    put(spool, *range(1, 501))
    line = RoundTrip()
    server = Server(line, max_records=1, max_connections=4)
    drain(spool, server)

    assert line.most > 1
    assert server.accepted == Counter(range(1, 501))
    assert waiting(spool) == set()
    assert line.most <= server.opened == server.closed <= 4


def test_one_connection_is_left_when_the_backlog_is_gone(spool: Spool, run: Callable[[Server], Uploader]) -> None:
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
            assert hold.wait(TIMEOUT_S)
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
        assert held.wait(TIMEOUT_S)
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
        thread.join(TIMEOUT_S)


def test_a_single_pour_takes_no_second_connection(spool: Spool, run: Callable[[Server], Uploader]) -> None:
    server = Server(RoundTrip(), max_records=1, max_connections=4)
    run(server)
    for number in range(1, 30):
        put(spool, number)
        server.wait_for(lambda number=number: server.accepted[number] == 1)  # type: ignore[misc]  # a default of its own

    assert server.opened == 1


def test_a_failure_with_several_under_way_loses_and_doubles_nothing(
    spool: Spool, run: Callable[[Server], Uploader]
) -> None:
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


def test_an_outage_with_several_under_way_is_told_once(
    spool: Spool, run: Callable[[Server], Uploader], caplog: pytest.LogCaptureFixture
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
    assert began.wait(TIMEOUT_S)
    server.wait_for(lambda: server.closed == server.opened - 1)

    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["no route. Records stay in the spool and are tried again"]


def test_what_waits_is_known_without_a_look_into_the_spool(spool: Spool) -> None:
    put(spool, *range(1, 301))
    progress = Progress()
    counted = threading.Event()

    def changed() -> None:
        if progress.waiting == 300:
            counted.set()

    uploader = Uploader(spool, Server(lambda _: NO_ROUTE).connect, Clock(), lambda: 0.9, progress, changed)
    thread = threading.Thread(target=uploader.run)
    thread.start()
    try:
        assert counted.wait(TIMEOUT_S)
    finally:
        uploader.stop()
        thread.join(TIMEOUT_S)
