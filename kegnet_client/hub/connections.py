"""Who is connected, and who has to go for another. Pure: no sockets, no clock.

A connection is unproven until a request on it carried a signature or a token that holds. Anybody can open such
connections, and each costs a descriptor and, from its first byte on, about 300 kB for TLS: they are few and short.
There are three rooms, and none takes anything from another: proven connections, unproven ones from addresses that have
proven themselves before, and those of strangers. So however many strangers come, a device keeps its connection, and
comes back when it has lost it.

When a room is full, the network with the most connections gives one up, in it the address with the most, of that the
oldest (of proven ones the longest unused). So a flood pushes out its own connections, and a device that comes from
elsewhere gets in. Everybody has `GRACE_S` to prove themselves before they have to go for somebody like them: until then
it is the newcomer who is turned away, which costs next to nothing, however fast a flood comes.

A network is an IPv6 /64, which one stranger may have all of, or one IPv4 address. What comes from the proxy is not
bounded by its address: all devices may stand behind it.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

MAX_UNPROVEN = 384
"""From strangers, and once more from addresses that are known."""
MAX_UNPROVEN_PER_ADDRESS = 256
MAX_PROVEN = 1024
MAX_KNOWN_ADDRESSES = 4096

GRACE_S = 2.0
HANDSHAKE_S = 10.0
UNPROVEN_IDLE_S = 10.0
UNPROVEN_REQUEST_S = 30.0
"""A device's first request takes 15 s at most: its body 10, the commit 5."""
KEEP_ALIVE_S = 90.0
GOODBYE_S = 5.0

Pair = tuple[str, int]
"""A host and a port."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there may be: without proof, of these from one address, and with proof."""

    unproven: int = MAX_UNPROVEN
    unproven_per_address: int = MAX_UNPROVEN_PER_ADDRESS
    proven: int = MAX_PROVEN

    @property
    def total(self) -> int:
        """All of them together."""
        return 2 * self.unproven + self.proven

    @classmethod
    def for_descriptors(cls, count: int) -> "Limits":
        """As many as ``count`` descriptors allow."""
        unproven = max(1, min(MAX_UNPROVEN, count // 4))
        return cls(unproven, min(MAX_UNPROVEN_PER_ADDRESS, unproven), max(1, min(MAX_PROVEN, count - 2 * unproven)))


class Connection:
    """A connection from ``peer`` to ``local``. ``end`` ends it at once, ``close`` with a goodbye."""

    def __init__(self, peer: Pair, local: Pair, end: Callable[[], None]) -> None:
        self.name = (peer, local)
        self.address = plain_address(peer[0])
        self.network = _network(self.address)
        self.end = end
        self.close = end
        self.since_s = 0.0
        self.due_s = inf
        self.requests = 0
        self.is_closing = False
        self.room: _Room | None = None

    @property
    def is_proven(self) -> bool:
        return self.room is not None and self.room.is_for_proven


class Connections:
    """The connections of one listening socket. ``is_proxy`` tells of an address whether the proxy has it.

    ``on_push_out`` is told who had to go, or could not stay. Times are monotonic seconds.
    """

    def __init__(
        self, limits: Limits, is_proxy: Callable[[str], bool], on_push_out: Callable[[Connection], None]
    ) -> None:
        self._strangers = _Room(limits.unproven)
        self._returning = _Room(limits.unproven)
        self._proven = _Room(limits.proven, is_for_proven=True)
        self._per_address = limits.unproven_per_address
        self._is_proxy = is_proxy
        self._on_push_out = on_push_out
        self._open: set[Connection] = set()
        self._by_name: dict[tuple[Pair, Pair], Connection] = {}
        self._known: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection, now_s: float) -> bool:
        """Whether ``connection``, which was just opened, may stay; another one may have to go for it."""
        connection.since_s = now_s
        connection.due_s = now_s + HANDSHAKE_S
        room = self._returning if connection.address in self._known else self._strangers
        room.add(connection)
        victim = None
        if room.count_address(connection) > self._per_address and not self._is_proxy(connection.address):
            victim = room.oldest(connection)
        elif room.is_overfull:
            victim = room.victim()
        if victim is not None:
            if now_s - victim.since_s < GRACE_S and room.are_alike(victim, connection):
                room.remove(connection)
                self._on_push_out(connection)
                return False
            self._push_out(victim)
        self._open.add(connection)
        # There may be one of this name that was reset, and whose socket is not closed yet.
        self._by_name[connection.name] = connection
        return True

    def establish(
        self, connection: Connection, close: Callable[[], None], end: Callable[[], None], now_s: float
    ) -> None:
        """The TLS handshake of ``connection`` is done; its first request may have come along, and be under way."""
        connection.close, connection.end = close, end
        if not connection.requests and not connection.is_proven:
            connection.due_s = now_s + UNPROVEN_IDLE_S

    def find(self, peer: Pair | None, local: Pair | None) -> Connection | None:
        """The connection between these two, if it is still there."""
        return None if peer is None or local is None else self._by_name.get((peer, local))

    def begin_request(self, connection: Connection, now_s: float) -> None:
        """A request began on ``connection``; it may be the second under way, where they are pipelined."""
        connection.requests += 1
        connection.due_s = inf if connection.is_proven else now_s + UNPROVEN_REQUEST_S
        if connection.is_proven:
            self._proven.renew(connection)

    def end_request(self, connection: Connection, now_s: float) -> None:
        """A request on ``connection`` was answered."""
        connection.requests -= 1
        if not connection.requests:
            connection.due_s = now_s + (KEEP_ALIVE_S if connection.is_proven else UNPROVEN_IDLE_S)

    def prove(self, connection: Connection) -> None:
        """A signature or a token on ``connection`` holds."""
        self._known[connection.address] = None
        self._known.move_to_end(connection.address)
        if len(self._known) > MAX_KNOWN_ADDRESSES:
            self._known.popitem(last=False)
        if connection.is_proven or connection.room is None:
            return
        connection.room.remove(connection)
        self._proven.add(connection)
        connection.due_s = inf
        if self._proven.is_overfull:
            self._push_out(self._proven.victim())

    def forget(self, connection: Connection) -> None:
        """``connection`` has ended, whoever ended it."""
        if connection.room is not None:
            connection.room.remove(connection)
        self._open.discard(connection)
        if self._by_name.get(connection.name) is connection:
            del self._by_name[connection.name]

    def end_overdue(self, now_s: float) -> None:
        """End the connections that took too long: idle ones with a goodbye, and those that do not return it."""
        for connection in list(self._open):
            if now_s < connection.due_s:
                continue
            if connection.requests or connection.is_closing:
                connection.end()
            else:
                connection.is_closing = True
                connection.due_s = now_s + GOODBYE_S
                connection.close()

    def end_idle(self) -> None:
        """End at once the connections without a request under way."""
        for connection in list(self._open):
            if not connection.requests:
                connection.end()

    def end_all(self) -> None:
        """End every connection at once."""
        for connection in list(self._open):
            connection.end()

    def push_out_stranger(self) -> None:
        """End a stranger's, if there is one: something that a connection needs is used up."""
        if len(self._strangers):
            self._push_out(self._strangers.victim())

    def _push_out(self, victim: Connection) -> None:
        self._on_push_out(victim)
        self.forget(victim)
        victim.end()


class _Room:
    """Connections by network and address, each address's from the oldest to the newest."""

    def __init__(self, size: int, *, is_for_proven: bool = False) -> None:
        self.is_for_proven = is_for_proven
        self._size = size
        self._count = 0
        self._networks: dict[str, dict[str, OrderedDict[Connection, None]]] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def is_overfull(self) -> bool:
        return self._count > self._size

    def add(self, connection: Connection) -> None:
        addresses = self._networks.setdefault(connection.network, {})
        addresses.setdefault(connection.address, OrderedDict())[connection] = None
        connection.room = self
        self._counts[connection.network] = self._counts.get(connection.network, 0) + 1
        self._count += 1

    def remove(self, connection: Connection) -> None:
        addresses = self._networks[connection.network]
        del addresses[connection.address][connection]
        connection.room = None
        self._count -= 1
        self._counts[connection.network] -= 1
        if not addresses[connection.address]:
            del addresses[connection.address]
        if not addresses:
            del self._networks[connection.network], self._counts[connection.network]

    def renew(self, connection: Connection) -> None:
        """It is the newest of its address now."""
        self._networks[connection.network][connection.address].move_to_end(connection)

    def count_address(self, connection: Connection) -> int:
        """How many come from the same address."""
        return len(self._networks[connection.network][connection.address])

    def oldest(self, connection: Connection) -> Connection:
        """The oldest that comes from the same address."""
        return next(iter(self._networks[connection.network][connection.address]))

    def victim(self) -> Connection:
        """The oldest of the address with the most, in the network with the most."""
        network = max(self._counts, key=self._counts.__getitem__)
        addresses = self._networks[network]
        return next(iter(addresses[max(addresses, key=lambda address: len(addresses[address]))]))

    def are_alike(self, victim: Connection, newcomer: Connection) -> bool:
        """Whether ``victim`` comes from no larger crowd than ``newcomer``."""
        return (
            self._counts[victim.network] <= self._counts[newcomer.network] + 1
            and self.count_address(victim) <= self.count_address(newcomer) + 1
        )


def plain_address(host: str) -> str:
    """The address in its usual spelling; a socket for both families shows IPv4 in IPv6's clothes."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)


def _network(address: str) -> str:
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
