"""What every sink promises (`kegnet_client.sinks.base`), over real TLS."""

import socket
import threading
from functools import partial

import pytest

from kegnet_client.core.records import Heartbeat, Pour, Reading, Record
from kegnet_client.core.verdict import Disposition

from ..support.authority import Authority
from ..support.sockets import Connection
from ..support.waits import WAIT_S
from .conftest import Kind, Open, Start

NOW_MS = 1_800_000_000_000
RECORDS: list[Record] = [
    Pour(0, 586, 8123, NOW_MS),
    Pour(1, 17, 900, NOW_MS + 9000),
    Reading("28-0316a2795c5b", 3875, NOW_MS + 20_000),
]


def test_each_record_has_its_verdict(kind: Kind, start: Start, open_sink: Open) -> None:
    sink = open_sink(start(kind.accept).port)
    for begin in range(0, len(RECORDS), sink.max_records):
        sent = RECORDS[begin : begin + sink.max_records]
        verdicts = sink.send(sent)

        assert [verdict.disposition for verdict in verdicts] == [Disposition.ACCEPTED] * len(sent)
        assert all(verdict.reason for verdict in verdicts)


def test_verdicts_stand_in_the_order_of_their_records_and_a_rejection_gives_the_servers_reason(
    kind: Kind, start: Start, open_sink: Open
) -> None:
    sink = open_sink(start(kind.reject_second).port)
    verdicts = []
    for begin in range(0, len(RECORDS), sink.max_records):
        verdicts += sink.send(RECORDS[begin : begin + sink.max_records])

    accepted, rejected = Disposition.ACCEPTED, Disposition.REJECTED
    assert [verdict.disposition for verdict in verdicts] == [accepted, rejected, accepted]
    assert kind.why_rejected in verdicts[1].reason


def test_a_sign_of_life_has_one_too(kind: Kind, start: Start, open_sink: Open) -> None:
    (verdict,) = open_sink(start(kind.accept).port).send([Heartbeat(NOW_MS)])

    assert verdict.disposition is Disposition.ACCEPTED


def test_a_server_that_is_away_defers_all_of_a_request_alike_and_names_it(open_sink: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    sink = open_sink(port)
    verdicts = sink.send(RECORDS[: sink.max_records])

    assert all(verdict is verdicts[0] for verdict in verdicts)
    assert verdicts[0].disposition is Disposition.DEFERRED
    assert not verdicts[0].refused
    assert not verdicts[0].record_may_be_the_cause
    assert f"localhost:{port}" in verdicts[0].reason


def test_a_server_that_does_not_prove_itself_sees_no_request_and_is_told_as_a_refusal(
    kind: Kind, start: Start, open_sink: Open, other_authority: Authority
) -> None:
    server = start(kind.accept)
    sink = open_sink(server.port, other_authority.bundle)
    verdicts = sink.send(RECORDS[: sink.max_records])

    assert verdicts[0].disposition is Disposition.MISCONFIGURED
    assert all(verdict is verdicts[0] for verdict in verdicts)
    assert verdicts[0].refused
    assert "caBundle" in verdicts[0].reason
    assert server.received == []


@pytest.mark.parametrize("behaviour", ["accept", "reject_second", "refuse", "busy", "nobody"])
def test_what_there_is_to_do_meanwhile_is_done_once_whatever_comes_of_the_exchange(
    kind: Kind, start: Start, open_sink: Open, behaviour: str
) -> None:
    if behaviour == "nobody":
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
    else:
        port = start(getattr(kind, behaviour)).port
    sink = open_sink(port)
    done: list[str] = []
    for name in ("first", "second"):
        sink.send(RECORDS[:1], partial(done.append, name))
        assert done[-1] == name

    sink.abort()
    sink.send(RECORDS[:1], lambda: done.append("after an abort"))
    assert done == ["first", "second", "after an abort"]


@pytest.mark.parametrize(
    ("server", "disposition", "refused"),
    [
        ("refuse", Disposition.MISCONFIGURED, True),
        ("misplaced", Disposition.MISCONFIGURED, False),
        ("busy", Disposition.DEFERRED, False),
    ],
)
def test_a_refused_device_a_wrong_address_and_a_busy_server_are_told_apart(
    kind: Kind, start: Start, open_sink: Open, server: str, disposition: Disposition, refused: bool
) -> None:
    sink = open_sink(start(getattr(kind, server)).port)
    verdicts = sink.send(RECORDS[: sink.max_records])

    assert all(verdict is verdicts[0] for verdict in verdicts)
    assert (verdicts[0].disposition, verdicts[0].refused) == (disposition, refused)


def test_an_abort_ends_the_exchange_that_is_under_way(start: Start, open_sink: Open) -> None:
    asked = threading.Event()

    def say_nothing(connection: Connection) -> None:
        connection.stream.recv(1)
        asked.set()
        connection.server.closing.wait(WAIT_S)

    sink = open_sink(start(say_nothing).port)
    came: list[Disposition] = []
    thread = threading.Thread(target=lambda: came.extend(one.disposition for one in sink.send(RECORDS[:1])))
    thread.start()
    assert asked.wait(WAIT_S)
    sink.abort()
    thread.join(WAIT_S / 2)

    assert came == [Disposition.DEFERRED]


@pytest.mark.case(133)
def test_after_an_abort_nothing_is_sent_any_more(kind: Kind, start: Start, open_sink: Open) -> None:
    server = start(kind.accept)
    sink = open_sink(server.port)
    assert sink.send(RECORDS[:1])[0].disposition is Disposition.ACCEPTED
    received = b"".join(server.received)
    sink.abort()

    for _ in range(2):
        assert sink.send(RECORDS[1:2])[0].disposition is Disposition.DEFERRED
    assert b"".join(server.received) == received


def test_it_can_be_used_again_after_a_failure_and_closed_twice(kind: Kind, start: Start, open_sink: Open) -> None:
    broken = threading.Event()

    def break_once(connection: Connection) -> None:
        if not broken.is_set():
            broken.set()
            connection.stream.recv(1)
            connection.reset()
            return
        kind.accept(connection)

    sink = open_sink(start(break_once).port)

    assert sink.send(RECORDS[:1])[0].disposition is Disposition.DEFERRED
    assert sink.send(RECORDS[:1])[0].disposition is Disposition.ACCEPTED
    sink.close()
    sink.close()


def test_it_says_how_much_it_takes_and_what_to_check(open_sink: Open) -> None:
    sink = open_sink(1)

    assert sink.max_records >= 1
    assert sink.max_connections >= 1
    assert sink.advice
    assert sink.advice[0].islower(), "it goes on in the middle of a sentence"
