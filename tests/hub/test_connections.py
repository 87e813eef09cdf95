"""Who may stay connected, and who has to go."""

import itertools

import pytest

from kegnet_client.hub import connections
from kegnet_client.hub.connections import GRACE_S, Connection, Connections, Limits

LOCAL = ("192.0.2.1", 8443)
PORTS = itertools.count(1024)
PROXY = "10.9.9.9"
LIMITS = Limits(unproven=8, unproven_per_address=4, proven=6)


class Desk:
    """Connections under ``LIMITS`` with a clock, and what became of them."""

    def __init__(self) -> None:
        self.connections = Connections(LIMITS, PROXY.__eq__, lambda _connection: None)
        self.now_s = 0.0
        self.ended: list[Connection] = []
        self.closed: list[Connection] = []

    def open(self, host: str, *, later_s: float = 0.0) -> Connection:
        """A new connection from ``host``; it is in ``ended`` if it is turned away."""
        self.now_s += later_s

        def end() -> None:
            self.ended.append(connection)
            self.connections.forget(connection)

        connection = Connection((host, next(PORTS)), LOCAL, end)
        if self.connections.admit(connection, self.now_s):
            self.establish(connection)
        else:
            self.ended.append(connection)
        return connection

    def establish(self, connection: Connection) -> None:
        close, end = (lambda: self.closed.append(connection)), connection.end
        self.connections.establish(connection, close, end, self.now_s)

    def proven(self, host: str) -> Connection:
        """A new connection from ``host`` that has shown a signature."""
        connection = self.open(host)
        self.request(connection, proves=True)
        return connection

    def request(self, connection: Connection, *, proves: bool = False) -> None:
        self.connections.begin_request(connection, self.now_s)
        if proves:
            self.connections.prove(connection)
        self.connections.end_request(connection, self.now_s)

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.connections.end_overdue(self.now_s)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_limits_keep_the_promise_of_256_for_an_address() -> None:
    assert Limits().unproven_per_address >= 256
    assert Limits.for_descriptors(Limits().total) == Limits()


@pytest.mark.parametrize("count", [4, 100, 1000, 1791, 100_000])
def test_there_are_never_more_connections_than_descriptors(count: int) -> None:
    assert Limits.for_descriptors(count).total <= count


def test_of_one_address_the_oldest_without_proof_goes_first(desk: Desk) -> None:
    opened = [desk.open("10.0.0.1", later_s=GRACE_S) for _ in range(6)]
    assert desk.ended == opened[:2]


def test_nobody_goes_for_somebody_like_them_before_they_could_prove_themselves(desk: Desk) -> None:
    opened = [desk.open("10.0.0.1") for _ in range(6)]
    assert desk.ended == opened[4:]
    assert len(desk.connections) == 4


def test_a_flood_of_one_address_takes_nothing_from_another(desk: Desk) -> None:
    mine = desk.open("10.0.0.2")
    for _ in range(1000):
        desk.open("10.0.0.1", later_s=0.1)
    assert mine not in desk.ended
    assert desk.open("10.0.0.3") not in desk.ended


def test_a_newcomer_pushes_out_the_oldest_of_whoever_has_most(desk: Desk) -> None:
    crowd = [desk.open(host) for host in ("10.0.0.1",) * 4 + ("10.0.0.2",) * 4]
    newcomer = desk.open("10.0.0.3")
    assert desk.ended == crowd[:1]
    assert desk.connections.find(*newcomer.name) is newcomer


def test_one_who_has_a_whole_ipv6_network_is_one(desk: Desk) -> None:
    crowd = [desk.open(f"2001:db8::{number:x}") for number in range(1, 9)]
    assert desk.ended == []
    assert desk.open("2001:db8:0:1::1") not in desk.ended
    assert desk.ended == crowd[:1]


def test_in_a_network_the_address_with_most_gives_way(desk: Desk) -> None:
    device = desk.open("2001:db8::1")
    crowd = [desk.open(f"2001:db8::{2 + number % 2}") for number in range(7)]
    assert desk.open("2001:db8::4") not in desk.ended
    assert device not in desk.ended
    assert desk.ended == crowd[:1]


def test_a_flood_from_many_addresses_takes_nothing_from_who_is_proven(desk: Desk) -> None:
    device = desk.proven("10.1.0.1")
    for number in range(1000):
        desk.open(f"10.0.{number // 250}.{number % 250}", later_s=0.01)
    assert device not in desk.ended
    assert desk.open("10.1.0.1") not in desk.ended  # it comes back, too, through a door of its own


def test_at_a_known_address_a_flood_is_bounded_as_well(desk: Desk) -> None:
    desk.proven("10.1.0.1")
    for _ in range(1000):
        desk.open("10.1.0.1", later_s=0.1)
    assert len(desk.connections) == 1 + LIMITS.unproven_per_address


def test_the_address_of_the_proxy_is_not_bounded(desk: Desk) -> None:
    for _ in range(LIMITS.unproven):
        desk.open(PROXY)
    assert desk.ended == []
    desk.open(PROXY, later_s=GRACE_S)
    assert len(desk.ended) == 1


def test_who_has_proven_themselves_with_one_key_cannot_take_all_the_room(desk: Desk) -> None:
    device = desk.proven("10.1.0.1")
    mine = [desk.proven("10.0.0.1") for _ in range(100)]
    assert device not in desk.ended
    assert desk.ended == mine[: 100 - LIMITS.proven + 1]


def test_of_proven_connections_the_longest_unused_goes_first(desk: Desk) -> None:
    mine = [desk.proven("10.0.0.1") for _ in range(LIMITS.proven)]
    desk.request(mine[0])
    desk.proven("10.0.0.1")
    assert desk.ended == [mine[1]]


def test_without_proof_a_connection_is_kept_alive_for_a_short_time(desk: Desk) -> None:
    stranger, device = desk.open("10.0.0.1"), desk.proven("10.0.0.2")
    desk.request(stranger)
    desk.pass_time(connections.UNPROVEN_IDLE_S)
    assert desk.closed == [stranger]
    desk.pass_time(connections.GOODBYE_S)
    assert desk.ended == [stranger]  # it did not say goodbye
    desk.pass_time(connections.KEEP_ALIVE_S)
    assert desk.closed == [stranger, device]


def test_a_request_without_proof_that_does_not_end_is_ended(desk: Desk) -> None:
    stranger, device = desk.open("10.0.0.1"), desk.proven("10.0.0.2")
    for connection in (stranger, device):
        desk.connections.begin_request(connection, desk.now_s)
    desk.pass_time(connections.UNPROVEN_REQUEST_S)
    assert desk.ended == [stranger]


def test_a_connection_is_busy_until_the_last_of_its_pipelined_requests(desk: Desk) -> None:
    device = desk.proven("10.0.0.1")
    for _ in range(2):
        desk.connections.begin_request(device, desk.now_s)
    desk.connections.end_request(device, desk.now_s)
    desk.pass_time(1000)
    assert desk.closed == desk.ended == []


def test_a_request_that_came_along_with_the_handshake_may_last(desk: Desk) -> None:
    device = desk.open("10.0.0.1")
    desk.connections.begin_request(device, desk.now_s)
    desk.connections.prove(device)
    desk.establish(device)
    desk.pass_time(1000)
    assert desk.closed == desk.ended == []


def test_a_name_that_is_used_again_before_the_old_connection_is_closed_is_the_new_ones(desk: Desk) -> None:
    first = desk.open("10.0.0.1")
    second = Connection(*first.name, lambda: None)
    assert desk.connections.admit(second, desk.now_s)
    desk.connections.forget(first)
    assert desk.connections.find(*first.name) is second
    desk.connections.forget(second)
    assert len(desk.connections) == 0
    for _ in range(LIMITS.unproven_per_address):  # neither is counted any more
        desk.open("10.0.0.1")
    assert desk.ended == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("testclient", "testclient"),
    ],
)
def test_an_address_is_counted_in_its_usual_spelling(desk: Desk, host: str, address: str) -> None:
    assert desk.open(host).address == address
