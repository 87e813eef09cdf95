"""Readers of a hub's pages at full speed: each on its own connection, and none of them waits between two pages.

The argument is a JSON object: ``port``, ``ca``, ``token``, ``readers``, ``path``, ``accept``. A line on stdin begins
it, and is answered once every reader has had a page: fifty handshakes at once are another matter. The next line ends
it, and is answered by how many pages came and how long they took.
"""

import asyncio
import json
import ssl
import sys
import time
from typing import Any


async def _read(
    work: dict[str, Any],
    context: ssl.SSLContext,
    took_ms: list[float],
    all_read: asyncio.Barrier,
    is_over: asyncio.Event,
) -> None:
    reader, writer = await asyncio.open_connection("localhost", work["port"], ssl=context, limit=2**22)
    request = (
        f"GET {work['path']} HTTP/1.1\r\nHost: localhost:{work['port']}\r\nAuthorization: Bearer {work['token']}\r\n"
        f"Accept: {work['accept']}\r\n\r\n"
    ).encode()

    async def read_page() -> None:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        content = await reader.readexactly(length)
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(content.decode(errors="replace"))

    await read_page()
    await all_read.wait()
    while not is_over.is_set():
        started_s = time.perf_counter()
        await read_page()
        took_ms.append((time.perf_counter() - started_s) * 1000)
    writer.transport.abort()


async def _work(work: dict[str, Any]) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=work["ca"])
    took_ms: list[float] = []
    is_over = asyncio.Event()
    all_read = asyncio.Barrier(work["readers"] + 1)
    async with asyncio.TaskGroup() as readers:
        for _ in range(work["readers"]):
            readers.create_task(_read(work, context, took_ms, all_read, is_over))
        await all_read.wait()
        print(json.dumps("reading"), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        is_over.set()
    return {"pages": len(took_ms), "took_ms": took_ms}


def main() -> None:
    work = json.loads(sys.argv[1])
    print(json.dumps({"port": work["port"]}), flush=True)
    if sys.stdin.readline():
        print(json.dumps(asyncio.run(_work(work))), flush=True)


if __name__ == "__main__":
    main()
