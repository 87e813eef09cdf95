"""The floor: a bare loop that does what has to be done for each pour and nothing else.

List the spool, read, sign, POST over a kept connection through http.client, unlink; for v3 five hundred at a
time with their ids, as gzipped JSON, with one digest and one signature. It judges no name, checks no answer
beyond its status, survives no fault. What it takes is what this machine, its TLS and its file system take. One that
``compares`` reads each file once more before it is removed, as whoever promises that nothing newer is lost has to.

The argument is a JSON object, see `Work`. When the spool is empty it waits for what inotify announces.
"""

import ctypes
import http.client
import json
import os
import ssl
import struct
import sys
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from .wire import BATCH, read, signer, v2_request, v3_request

_IN_MOVED_TO = 0x80
_EVENT = struct.Struct("iIII")


@dataclass(frozen=True)
class Work:
    """What is to be done."""

    port: int
    ca: str
    key: str
    device: str
    spool: str
    protocol: str
    connections: int
    compares: bool


class Line:
    """One kept connection and the key."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._sign = signer(work.key)
        context = ssl.create_default_context(cafile=work.ca)
        self._http = http.client.HTTPSConnection("localhost", work.port, context=context)

    def send(self, names: list[str]) -> None:
        """These pours, in one request."""
        device = self._work.device
        paths = [f"{self._work.spool}/{name}" for name in names]
        texts = [read(path) for path in paths]
        lines = [text.rstrip("\n") for text in texts]
        is_v2 = self._work.protocol == "v2"
        path, headers, body = (
            v2_request(device, lines[0], self._sign) if is_v2 else v3_request(device, lines, self._sign)
        )
        self._http.request("POST", path, body, headers)
        response = self._http.getresponse()
        content = response.read()
        assert response.status == 200
        assert is_v2 or json.loads(content)["accepted"] == len(names)
        for path, text in zip(paths, texts, strict=True):
            assert not self._work.compares or read(path) == text
            os.unlink(path)  # noqa: PTH108 (a Path for each file is no floor)


def deliver(work: Work, lines: list[Line], names: Iterable[str]) -> None:
    """Everything in ``names``, over all lines at once."""
    size = 1 if work.protocol == "v2" else BATCH
    queue = deque(names)
    taking = threading.Lock()

    def work_off(line: Line) -> None:
        while True:
            with taking:
                part = [queue.popleft() for _ in range(min(size, len(queue)))]
            if not part:
                return
            line.send(part)

    if len(lines) == 1:
        work_off(lines[0])
        return
    threads = [threading.Thread(target=work_off, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    work = Work(**json.loads(sys.argv[1]))
    libc = ctypes.CDLL(None)
    inotify = libc.inotify_init1(os.O_CLOEXEC)
    libc.inotify_add_watch(inotify, work.spool.encode(), _IN_MOVED_TO)
    lines = [Line(work) for _ in range(work.connections)]
    deliver(work, lines, sorted(os.listdir(work.spool)))  # noqa: PTH208 (as above)
    while True:
        data, names, at = os.read(inotify, 65536), [], 0
        while at < len(data):
            length = _EVENT.unpack_from(data, at)[3]
            at += _EVENT.size
            names.append(data[at : at + length].rstrip(b"\0").decode())
            at += length
        deliver(work, lines[:1], names)


if __name__ == "__main__":
    main()
