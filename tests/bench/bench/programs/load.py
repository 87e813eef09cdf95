"""Load for a hub: requests that were signed in advance, over many connections at once.

The argument is a JSON object: ``port``, ``ca``, ``key``, ``device``, ``protocol`` (v2, v3 or influxdb), ``batch``,
``first``, ``connections``. Commands come on stdin, one a line, each answered by one line of JSON; the end of stdin is
the end of the process.

========== ================================================================================================
sign N     sign N requests, of one pour (v2) or 500 (v3); none is ever sent twice
go RATE    send what was signed: RATE requests a second, or with 0 on each connection one after the other
========== ================================================================================================

At a rate the time of a request runs from when it was due, whether a connection was free or not.
"""

import asyncio
import json
import re
import ssl
import sys
import time
from typing import Any

from .wire import Request, influxdb_request, signer, v2_request, v3_request

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
STARTED_MS = 1_600_000_000_000


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    async def exchange(self, request: bytes) -> bytes:
        """The answer to ``request``."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._received[:end])
        total = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) >= total and self._answer is not None:
            answer, self._received = self._received[:total], self._received[total:]
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("closed"))


class Load:
    """The connections and what is signed."""

    def __init__(self, work: dict[str, Any]) -> None:
        self._work = work
        self._sign = signer(work["key"])
        self._context = ssl.create_default_context(cafile=work["ca"])
        self._made: int = work["first"]
        self._signed: list[bytes] = []
        self._records: int = work["batch"]

    def sign(self, count: int) -> None:
        """Make ``count`` requests."""
        for _ in range(count):
            lines = [f"0,586,8123,{STARTED_MS + self._made + number}" for number in range(self._records)]
            self._made += self._records
            self._signed.append(self._encode(self._request(self._work["device"], lines)))

    def _request(self, device: str, lines: list[str]) -> Request:
        match self._work["protocol"]:
            case "v2":
                return v2_request(device, lines[0], self._sign)
            case "v3":
                return v3_request(device, lines, self._sign)
        return influxdb_request(device, lines)

    async def go(self, per_s: float) -> dict[str, Any]:
        """Send everything that is signed."""
        loop = asyncio.get_running_loop()
        made = [
            loop.create_connection(Connection, "localhost", self._work["port"], ssl=self._context)
            for _ in range(self._work["connections"])
        ]
        connections = [connection for _, connection in await asyncio.gather(*made)]
        requests, self._signed = self._signed, []
        queue = iter(enumerate(requests))
        took_ms: list[float] = []
        failures: list[str] = []
        cpu_s, started_s = time.process_time(), time.perf_counter()

        async def work_off(connection: Connection) -> None:
            for number, request in queue:
                due_s = time.perf_counter()
                if per_s:
                    due_s = started_s + number / per_s
                    await asyncio.sleep(due_s - time.perf_counter())
                answer = await connection.exchange(request)
                took_ms.append((time.perf_counter() - due_s) * 1000)
                if not self._is_good(answer):
                    failures.append(answer.decode(errors="replace"))

        await asyncio.gather(*(work_off(connection) for connection in connections))
        elapsed_s = time.perf_counter() - started_s
        return {
            "records": len(requests) * self._records,
            "elapsed_s": elapsed_s,
            "took_ms": took_ms,
            "failures": len(failures),
            "failure": failures[0] if failures else "",
            "cpu_share": (time.process_time() - cpu_s) / elapsed_s,
        }

    def _encode(self, request: Request) -> bytes:
        path, headers, body = request
        lines = [f"POST {path} HTTP/1.1", f"Host: localhost:{self._work['port']}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def _is_good(self, answer: bytes) -> bool:
        status, _, rest = answer.partition(b"\r\n")
        if self._work["protocol"] == "influxdb":
            return b" 204" in status
        if b" 200" not in status:
            return False
        if self._work["protocol"] == "v2":
            return True
        return bool(json.loads(rest.partition(b"\r\n\r\n")[2])["accepted"] == self._records)


def main() -> None:
    work = json.loads(sys.argv[1])
    load = Load(work)
    print(json.dumps({"port": work["port"]}), flush=True)
    for line in sys.stdin:
        answer: object = None
        match line.split():
            case ["sign", count]:
                load.sign(int(count))
            case ["go", per_s]:
                answer = asyncio.run(load.go(float(per_s)))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
