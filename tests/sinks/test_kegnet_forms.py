"""One record to the server, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kegnet_client.core.errors import TransportError, UntrustedServerError
from kegnet_client.core.records import Heartbeat, Pour, Reading, Record
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.answer import Answer
from kegnet_client.core.wire.base_url import parse_base_url
from kegnet_client.core.wire.forms import CONTENT_TYPE, read_call
from kegnet_client.sinks.address_report import AddressReport, find_address
from kegnet_client.sinks.base import Meanwhile, nothing
from kegnet_client.sinks.kegnet_forms import KegnetForms

from ..support.clock import FakeClock

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"
WALL_MS = 1_800_000_000_000
POUR = Pour(3, 1234, 5999, WALL_MS - 1)
READING = Reading("28-0316a2795c5b", -500, WALL_MS + 999)


def ok(_url: str) -> Answer:
    return Answer(200, {})


@dataclass
class Server:
    """Takes what is posted and does what ``answer`` does."""

    answer: Callable[[str], Answer] = ok
    posts: list[tuple[str, str, bytes]] = field(default_factory=list)

    def post(self, url: str, content_type: str, body: bytes, *, meanwhile: Meanwhile = nothing) -> Answer:
        self.posts.append((url, content_type, body))
        meanwhile()
        return self.answer(url)

    def abort(self) -> None:
        """Nothing here takes its time."""

    def close(self) -> None:
        """Nothing is open."""


def sink(server: Server, version: str = "v2") -> KegnetForms:
    base = parse_base_url(f"https://hub.example:8443/keg/rest/{version}")
    return KegnetForms(DEVICE, lambda data: b"signed:" + data, base, server, lambda: WALL_MS)


@pytest.mark.parametrize(
    ("version", "record", "call", "signed"),
    [
        ("v2", POUR, "pour", f"{DEVICE},3,1234,5999,1799999999999"),
        ("v1", POUR, "pour", f"{DEVICE},3,1234,5,1799999999"),
        ("v2", READING, "ping", f"{DEVICE},-500,1800000000999"),
        ("v1", READING, "ping", f"{DEVICE},-500,1800000000"),
        ("v2", Heartbeat(WALL_MS), "ping", f"{DEVICE},-1,1800000000000"),
        ("v1", Heartbeat(WALL_MS + 999), "ping", f"{DEVICE},-1,1800000000"),
    ],
)
def test_a_record_goes_to_its_call_signed_over_exactly_what_is_sent(
    version: str, record: Record | Heartbeat, call: str, signed: str
) -> None:
    server = Server()
    (verdict,) = sink(server, version).send([record])

    assert verdict.disposition is Disposition.ACCEPTED
    [(url, content_type, body)] = server.posts
    assert url == f"https://hub.example:8443/keg/rest/{version}/{call}"
    assert content_type == CONTENT_TYPE
    sent, signature = read_call(call, body)
    assert sent.canonical_string == signed.encode()
    assert signature == b"signed:" + signed.encode()


def test_a_resend_carries_the_same_bytes() -> None:
    server = Server()
    first = sink(server)
    first.send([POUR])
    first.send([POUR])
    sink(server).send([POUR])

    assert len(set(server.posts)) == 1


@pytest.mark.parametrize(
    ("answer", "disposition"),
    [
        (Answer(200, {}), Disposition.ACCEPTED),
        (Answer(400, {}), Disposition.REJECTED),
        (Answer(401, {}), Disposition.MISCONFIGURED),
        (Answer(503, {}), Disposition.DEFERRED),
    ],
)
def test_the_answer_is_judged(answer: Answer, disposition: Disposition) -> None:
    (verdict,) = sink(Server(lambda _: answer)).send([POUR])

    assert (verdict.disposition, verdict.code) == (disposition, answer.status)


def test_the_answer_is_judged_by_the_clock_of_this_machine_and_the_address_it_came_from() -> None:
    late = Answer(401, {"date": "Fri, 15 Jan 2027 07:00:00 GMT"})
    missing = Answer(404, {})

    assert "this clock is 60 min ahead" in sink(Server(lambda _: late)).send([POUR])[0].reason
    assert (
        "https://hub.example:8443/keg/rest/v2/pour is not where"
        in sink(Server(lambda _: missing)).send([POUR])[0].reason
    )


@pytest.mark.parametrize(
    ("error", "disposition"),
    [
        (TransportError("no route to hub.example"), Disposition.DEFERRED),
        (UntrustedServerError("hub.example shows a certificate of somebody else"), Disposition.MISCONFIGURED),
    ],
)
def test_without_an_answer_the_record_is_kept_and_the_reason_told(
    error: TransportError, disposition: Disposition
) -> None:
    def fail(_url: str) -> Answer:
        raise error

    (verdict,) = sink(Server(fail)).send([POUR])

    assert (verdict.disposition, verdict.reason, verdict.code) == (disposition, f"hub.example:8443: {error}", None)
    assert not verdict.record_may_be_the_cause
    assert verdict.retry_after_s is None


class Addresses:
    """A device that moves: each look finds the next address, the last one for ever."""

    def __init__(self, *found: str | None) -> None:
        self.clock = FakeClock()
        self._found = list(found)
        self.report = AddressReport(self._find, self.clock)

    def _find(self) -> str | None:
        return self._found.pop(0) if len(self._found) > 1 else self._found[0]


def tell(server: Server, addresses: Addresses, *after_s: float) -> list[str]:
    """The addresses that go along with a record after each of these pauses."""
    base = parse_base_url("https://hub.example:8443/keg/rest/v2")
    sink = KegnetForms(DEVICE, lambda data: b"signed:" + data, base, server, lambda: WALL_MS, addresses.report)
    for pause_s in after_s:
        addresses.clock.now_s += pause_s
        assert sink.send([POUR])[0].disposition is Disposition.ACCEPTED
    calls = [read_call("ip", body)[0] for url, _, body in server.posts if url.endswith("/ip")]
    return [dict(call.fields)["ip"] for call in calls]


def test_the_address_goes_along_once_an_hour_and_when_it_is_another() -> None:
    steady = Addresses("192.168.1.57")
    assert tell(Server(), steady, 0, 1, 3500, 100, 60) == ["192.168.1.57"] * 2
    moved = Addresses("192.168.1.57", "192.168.1.57", "10.0.0.2")
    assert tell(Server(), moved, 0, 60, 60, 60) == ["192.168.1.57", "10.0.0.2"]


def test_the_address_is_signed_as_the_protocol_has_it() -> None:
    server = Server()
    tell(server, Addresses("192.168.1.57"), 0)
    assert server.posts[1][0] == "https://hub.example:8443/keg/rest/v2/ip"
    call, signature = read_call("ip", server.posts[1][2])
    assert call.canonical_string == f"{DEVICE},192.168.1.57,{WALL_MS}".encode()
    assert signature == b"signed:" + call.canonical_string


def test_an_address_that_nobody_takes_is_no_matter_of_the_record_and_one_that_did_not_arrive_is_told_again() -> None:
    def refuses(url: str) -> Answer:
        return Answer(404 if url.endswith("/ip") else 200, {})

    def loses(url: str) -> Answer:
        if url.endswith("/ip"):
            raise TransportError("reset")
        return Answer(200, {})

    assert tell(Server(refuses), Addresses("192.168.1.57"), 0, 60, 60) == ["192.168.1.57"]
    assert tell(Server(loses), Addresses("192.168.1.57"), 0, 1, 60) == ["192.168.1.57"] * 2


def test_no_address_goes_along_with_a_record_that_was_not_taken_nor_where_there_is_none() -> None:
    addresses = Addresses("192.168.1.57")
    base = parse_base_url("https://hub.example:8443/keg/rest/v2")
    busy = Server(lambda _url: Answer(503, {}))
    KegnetForms(DEVICE, lambda data: data, base, busy, lambda: WALL_MS, addresses.report).send([POUR])
    assert len(busy.posts) == 1
    assert tell(Server(), Addresses(None), 0, 60) == []


def test_a_server_on_this_machine_or_reached_by_ipv6_alone_is_told_no_address() -> None:
    assert find_address("127.0.0.1", 443) is None
    assert find_address("::1", 443) is None
