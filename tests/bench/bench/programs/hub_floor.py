"""The hub's floor: what a pour costs at the least before it may be acknowledged, without a network or a server.

The argument is a JSON object: ``key`` (the file), ``directory`` (for a database of its own), ``seconds`` (for each
loop). Prints one JSON object: for each loop what `AdaptiveConcurrency` has. The table has the columns and the indexes
that a pour needs to be stored once, found by time and by device, and proven; every commit is on disk (WAL,
synchronous=FULL).
"""

import base64
import gzip
import hashlib
import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .wire import BATCH, Request, signer, v2_request, v3_request

GROUP = 32
SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE pours (id INTEGER PRIMARY KEY, device TEXT, record_id TEXT, pin INTEGER, pulses INTEGER,
  elapsed_ms INTEGER, started_ms INTEGER, received_ms INTEGER, signed BLOB, signature BLOB);
CREATE UNIQUE INDEX once ON pours (device, record_id);
CREATE INDEX by_time ON pours (started_ms, id);
CREATE INDEX by_device ON pours (device, started_ms, id);
"""
INSERT = (
    "INSERT INTO pours (device, record_id, pin, pulses, elapsed_ms, started_ms, received_ms, signed, signature) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_T = TypeVar("_T")
Values = tuple[str | int | bytes | None, ...]


class AdaptiveConcurrency(TypedDict):
    """How many a second, and the CPU of one."""

    per_s: float
    cpu_us: float


class Floor:
    """The key, the database, and pours that are all different."""

    def __init__(self, work: dict[str, Any]) -> None:
        self._sign = signer(work["key"])
        key = load_pem_private_key(Path(work["key"]).read_bytes(), None).public_key()
        assert isinstance(key, RSAPublicKey)
        self._key = key
        self._seconds = work["seconds"]
        self._device = str(uuid.uuid4())
        self._database = sqlite3.connect(Path(work["directory"], "floor.db"), isolation_level=None)
        self._database.executescript(SCHEMA)
        self._lines = (f"0,586,8123,{started_ms}" for started_ms in self._times())

    def paces(self) -> dict[str, AdaptiveConcurrency]:
        """Each loop's."""
        line = next(self._lines)
        signature, signed = base64.b64decode(self._sign(line.encode())), line.encode()
        rows = iter(lambda: self._row(next(self._lines), signed, signature), None)
        return {
            "verify": self._pace(lambda _: self._verify(signature, signed), 1, [None] * 1000),
            "insert 1": self._pace(self._insert, 1, [[next(rows)] for _ in range(2000)]),
            "insert 32": self._pace(self._insert, GROUP, [[next(rows) for _ in range(GROUP)] for _ in range(500)]),
            "insert 500": self._pace(self._insert, BATCH, [[next(rows) for _ in range(BATCH)] for _ in range(50)]),
            "ingest v2": self._pace(
                self._ingest_v2,
                GROUP,
                [[v2_request(self._device, next(self._lines), self._sign) for _ in range(GROUP)] for _ in range(60)],
            ),
            "ingest v3": self._pace(
                self._ingest_v3,
                BATCH,
                [v3_request(self._device, [next(self._lines) for _ in range(BATCH)], self._sign) for _ in range(50)],
            ),
        }

    def _times(self) -> Iterator[int]:
        started_ms = 1_700_000_000_000
        while True:
            yield started_ms
            started_ms += 1

    def _pace(self, work: Callable[[_T], None], size: int, made: Sequence[_T]) -> AdaptiveConcurrency:
        """Over as many of ``made`` as there is time for."""
        started_s, cpu_s = time.perf_counter(), time.process_time()
        done = 0
        for one in made:
            work(one)
            done += size
            if time.perf_counter() - started_s > self._seconds:
                break
        return {
            "per_s": done / (time.perf_counter() - started_s),
            "cpu_us": (time.process_time() - cpu_s) * 1e6 / done,
        }

    def _verify(self, signature: bytes, signed: bytes) -> None:
        self._key.verify(signature, signed, PKCS1v15(), SHA256())

    def _insert(self, rows: list[Values]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(INSERT, rows)
        self._database.execute("COMMIT")

    def _row(self, line: str, signed: bytes | None, signature: bytes | None) -> Values:
        identity = hashlib.sha256(f"{self._device},{line}".encode()).digest()[:16].hex()
        return (self._device, identity, *map(int, line.split(",")), time.time_ns() // 1_000_000, signed, signature)

    def _ingest_v2(self, requests: list[Request]) -> None:
        rows = []
        for _, _, body in requests:
            fields = dict(parse_qsl(body.decode()))
            signature = base64.b64decode(fields.pop("sig"))
            signed = ",".join(fields.values())
            self._verify(signature, signed.encode())
            rows.append(self._row(signed.partition(",")[2], signed.encode(), signature))
        self._insert(rows)

    def _ingest_v3(self, request: Request) -> None:
        _, headers, body = request
        hashlib.sha256(body).digest()
        signature = base64.b64decode(headers["Signature"].removeprefix("kegnet=:").removesuffix(":"))
        signed = _signature_base(headers)
        self._verify(signature, signed.encode())
        rows = []
        for record in json.loads(gzip.decompress(body))["records"]:
            line = ",".join(str(record[name]) for name in ("pin", "pulses", "elapsed_ms", "started_ms"))
            rows.append(self._row(line, None, None))
        self._insert(rows)


def _signature_base(headers: dict[str, str]) -> str:
    names = ("Content-Type", "Content-Encoding", "Content-Digest")
    covered = "".join(f'"{name.lower()}": {headers[name]}\n' for name in names)
    parameters = headers["Signature-Input"].removeprefix("kegnet=")
    return f'"@method": POST\n"@path": /rest/v3/records\n{covered}"@signature-params": {parameters}'


if __name__ == "__main__":
    print(json.dumps(Floor(json.loads(sys.argv[1])).paces()))
