"""The floor: a bare loop that does what has to be done for each pour and nothing else.

List the spool, read, sign, POST over a kept connection through http.client, unlink; for v3 five hundred at a
time with their ids, as gzipped JSON, with one digest and one signature. It judges no name, checks no answer
beyond its status, survives no fault. What it takes is what this machine, its TLS and its file system take.

The argument is a JSON object, see `Work`. When the spool is empty it waits for what inotify announces.
"""

import base64
import ctypes
import gzip
import hashlib
import http.client
import json
import os
import ssl
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_IN_MOVED_TO = 0x80
_EVENT = struct.Struct("iIII")
_COMPONENTS = '("@method" "@path" "content-type" "content-encoding" "content-digest")'


@dataclass(frozen=True)
class Work:
    """What is to be done; ``batch`` is how many pours one v3 request carries."""

    port: int
    ca: str
    key: str
    device: str
    spool: str
    protocol: str
    connections: int
    batch: int = 500


class Line:
    """One kept connection and the key."""

    def __init__(self, work: Work) -> None:
        self.work = work
        key = load_pem_private_key(read(work.key).encode(), None)
        assert isinstance(key, RSAPrivateKey)
        self._key = key
        self._http = http.client.HTTPSConnection(
            "localhost", work.port, context=ssl.create_default_context(cafile=work.ca)
        )

    def sign(self, data: bytes) -> str:
        return base64.b64encode(self._key.sign(data, PKCS1v15(), SHA256())).decode()

    def post(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        self._http.request("POST", path, body, headers)
        response = self._http.getresponse()
        content = response.read()
        assert response.status == 200
        return content


def read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY)
    line = os.read(fd, 4096).decode().rstrip("\n")
    os.close(fd)
    return line


def send_v2(line: Line, names: list[str]) -> None:
    """One pour."""
    work = line.work
    path = f"{work.spool}/{names[0]}"
    pin, pulses, elapsed, started = read(path).split(",")
    signature = line.sign(f"{work.device},{pin},{pulses},{elapsed},{started}".encode())
    form = {"id": work.device, "pin": pin, "pulses": pulses, "et": elapsed, "ts": started, "sig": signature}
    line.post("/rest/v2/pour", {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode())
    os.unlink(path)  # noqa: PTH108 (a Path for each file is no floor)


def send_v3(line: Line, names: list[str]) -> None:
    """A batch."""
    work = line.work
    paths = [f"{work.spool}/{name}" for name in names]
    records = []
    for path in paths:
        text = read(path)
        pin, pulses, elapsed, started = map(int, text.split(","))
        identity = hashlib.sha256(f"{work.device},{text}".encode()).digest()[:16].hex()
        records.append(
            {
                "id": identity,
                "type": "pour",
                "pin": pin,
                "pulses": pulses,
                "elapsed_ms": elapsed,
                "started_ms": started,
            }
        )
    content = json.dumps({"device": work.device, "records": records}, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json"}
    components = _COMPONENTS
    if len(content) > 1024:
        content = gzip.compress(content, mtime=0)
        headers["Content-Encoding"] = "gzip"
    else:
        components = components.replace(' "content-encoding"', "")
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
    parameters = f'{components};created={int(time.time())};keyid="{work.device}";alg="rsa-v1_5-sha256";tag="kegnet-v3"'
    encoding = '"content-encoding": gzip\n' if "Content-Encoding" in headers else ""
    base = (
        '"@method": POST\n"@path": /rest/v3/records\n"content-type": application/json\n'
        f'{encoding}"content-digest": {digest}\n"@signature-params": {parameters}'
    )
    headers |= {
        "Content-Digest": digest,
        "Signature-Input": f"kegnet={parameters}",
        "Signature": f"kegnet=:{line.sign(base.encode())}:",
    }
    verdicts = json.loads(line.post("/rest/v3/records", headers, content))
    assert verdicts["accepted"] == len(names)
    for path in paths:
        os.unlink(path)  # noqa: PTH108 (as above)


def deliver(work: Work, lines: list[Line], names: Iterable[str]) -> None:
    """Everything in ``names``, over all lines at once."""
    send: Callable[[Line, list[str]], None] = send_v2 if work.protocol == "v2" else send_v3
    size = 1 if work.protocol == "v2" else work.batch
    queue = deque(names)
    taking = threading.Lock()

    def work_off(line: Line) -> None:
        while True:
            with taking:
                part = [queue.popleft() for _ in range(min(size, len(queue)))]
            if not part:
                return
            send(line, part)

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
