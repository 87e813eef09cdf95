"""A far-away server: passes TCP on to the port in the first argument, half the round trip of the second (ms) late.

Each direction keeps its order; the bandwidth has no bound. The connection itself is made at once: what is late
is everything that is said on it, the TLS handshake included. Prints its own port as JSON; the end of stdin is
its end.
"""

import asyncio
import json
import sys
from collections import deque


class Direction(asyncio.Protocol):
    """What one end says, told to ``other`` ``delay_s`` later; None is the end of it."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._held: deque[tuple[float, bytes | None]] = deque()
        self.other: asyncio.Transport | None = None
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._hold(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._hold(None)

    def _hold(self, data: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        at_s = loop.time() + self._delay_s
        self._held.append((at_s, data))
        if len(self._held) == 1:
            loop.call_at(at_s, self._release)

    def _release(self) -> None:
        loop = asyncio.get_running_loop()
        while self._held and self._held[0][0] <= loop.time():
            data = self._held.popleft()[1]
            if self.other is None:
                continue
            if data is None:
                self.other.close()
            else:
                self.other.write(data)
        if self._held:
            loop.call_at(self._held[0][0], self._release)


class Client(Direction):
    """From a client: the connection to the server is made when it comes."""

    def __init__(self, delay_s: float, server_port: int) -> None:
        super().__init__(delay_s)
        self._server_port = server_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._connecting = asyncio.ensure_future(self._connect(transport))

    async def _connect(self, client: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        server = Direction(self._delay_s)
        server.other = client
        self.other, _ = await loop.create_connection(lambda: server, "127.0.0.1", self._server_port)
        client.resume_reading()


async def main(server_port: int, round_trip_ms: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(round_trip_ms / 2000, server_port), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
