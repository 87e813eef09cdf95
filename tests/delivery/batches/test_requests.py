"""Many records in one request: a real spool, and a server that does what a test says."""

import itertools
import logging
import threading
from collections import Counter

import pytest

from kegnet_client.core.records import Pour, format_record
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.delivery.progress import Progress
from kegnet_client.delivery.uploader import Uploader
from kegnet_client.host.clock import Clock
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.rejected import list_rejected

from ...support.waits import WAIT_S
from .rig import (
    ACCEPTED,
    BROKEN,
    FORBIDDEN,
    NO_ROUTE,
    NOW_MS,
    REJECTED,
    Run,
    Server,
    accept,
    drain,
    put,
    rejected,
    waiting,
    waiting_names,
)


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


def test_records_that_come_meanwhile_do_not_suffer_for_one_that_earns_a_5xx(spool: Spool, run: Run) -> None:
    newcomers = iter(range(1, 30))
    both_are_there = threading.Event()

    def behave(pulses: list[int]) -> Verdict:
        if pulses == [500]:
            assert both_are_there.wait(WAIT_S)
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
        assert counted.wait(WAIT_S)
    finally:
        uploader.stop()
        thread.join(WAIT_S)


# While a request is under way


def test_a_fresh_pour_goes_with_the_next_request_of_a_backlog(spool: Spool, run: Run) -> None:
    put(spool, *range(1, 1001))
    go_on = threading.Event()

    def behave(_pulses: list[int]) -> Verdict:
        assert go_on.wait(WAIT_S)
        return ACCEPTED

    server = Server(behave, max_records=50)
    run(server)
    server.wait_for(lambda: len(server.requests) == 1)
    put(spool, 5000)
    go_on.set()
    server.wait_for(lambda: len(server.requests) >= 2)

    assert 5000 in server.requests[1]


def test_a_name_that_is_used_again_while_its_record_is_under_way_loses_none(spool: Spool, run: Run) -> None:
    put(spool, 1)
    used_again = threading.Event()

    def behave(_pulses: list[int]) -> Verdict:
        assert used_again.wait(WAIT_S)
        return ACCEPTED

    server = Server(behave)
    run(server)
    server.wait_for(lambda: server.requests == [[1]])
    (spool.path / ".new.tmp").write_bytes(format_record(Pour(0, 2, 1000, NOW_MS)))
    (spool.path / ".new.tmp").rename(spool.path / "1.pour")
    used_again.set()
    server.wait_for(lambda: server.accepted == Counter({1: 1, 2: 1}))


@pytest.mark.parametrize("kind", [NO_ROUTE, BROKEN, FORBIDDEN], ids=["no route", "500", "403"])
@pytest.mark.parametrize("failing", range(3))
def test_each_record_is_settled_by_its_own_verdict_wherever_it_stands(
    spool: Spool, kind: Verdict, failing: int
) -> None:
    put(spool, 1, 2, 3)
    unlucky = failing + 1
    first_try = threading.Event()

    def behave(pulses: list[int]) -> list[Verdict]:
        if first_try.is_set():
            return [ACCEPTED] * len(pulses)
        first_try.set()
        return [kind if number == unlucky else ACCEPTED for number in pulses]

    server = Server(behave)
    drained = drain(spool, server)

    assert server.requests[0] == [1, 2, 3]
    assert drained.accepted == 2, "those accepted are not sent again"
    assert server.accepted.total() == 2
    assert waiting(spool) == {unlucky}


def test_a_record_deferred_between_accepted_ones_is_tried_again_by_itself(spool: Spool, run: Run) -> None:
    put(spool, 1, 2, 3)

    def behave(pulses: list[int]) -> list[Verdict]:
        return [BROKEN if number == 2 and len(server.requests) == 1 else ACCEPTED for number in pulses]

    server = Server(behave)
    run(server)
    server.wait_for(lambda: server.accepted[2] == 1)

    assert server.accepted == {1: 1, 2: 1, 3: 1}
    assert server.requests == [[1, 2, 3], [2]]


def test_rejected_deferred_and_accepted_in_one_answer_each_have_their_own_fate(spool: Spool) -> None:
    put(spool, 1, 2, 3)
    kinds = {1: REJECTED, 2: BROKEN, 3: ACCEPTED}
    server = Server(lambda pulses: [kinds[number] for number in pulses])
    drained = drain(spool, server)

    assert (drained.accepted, drained.rejected) == (1, 1)
    assert rejected(spool) == {1}
    assert waiting(spool) == {2}
