"""No answer before the commit is on disk: a database that cannot is a 503, and a hub that is killed has all that it
acknowledged."""

import re
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ...support.postgresql import PostgreSQL
from ...support.program import Program
from ...support.waits import wait_until
from ..versions import V2_LATER
from .hub_process import Hub
from .signed_request import Request

MountExt4 = Callable[[Path, int], Path]
FillUp = Callable[[Path], None]


@pytest.mark.case(51)
@V2_LATER
def test_a_database_that_is_locked_or_away_is_a_503_with_retry_after_and_nothing_is_lost(
    hub: Hub, key: rsa.RSAPrivateKey, version: str
) -> None:
    (device,) = hub.register(key)
    (database,) = hub.directory.glob("*.db")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked = hub.send(Request(version, device, key, [1]))
        other.execute("ROLLBACK")
    assert hub.send(Request(version, device, key, [2])).status_code == 200
    database.rename(hub.directory / "away")
    away = hub.send(Request(version, device, key, [3]))
    (hub.directory / "away").rename(database)
    for answer in (locked, away):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    assert hub.pours(device) == [2]
    for pulses in (1, 3):
        assert hub.send(Request(version, device, key, [pulses])).status_code == 200
    assert hub.pours(device) == [1, 2, 3]
    hub.program.log.wait_for("the database works again", 2)


@pytest.mark.case(51)
@V2_LATER
def test_a_disk_that_is_full_is_a_503_and_what_was_acknowledged_is_there(
    tmp_path: Path,
    mount_ext4: MountExt4,
    fill_up: FillUp,
    start_program: Callable[..., Program],
    key: rsa.RSAPrivateKey,
    version: str,
) -> None:
    disk = mount_ext4(tmp_path / "disk", 8)
    hub = Hub(disk / "hub", start_program)
    (device,) = hub.register(key)
    filler = disk / "filler"
    fill_up(filler)
    acknowledged, statuses = [], []
    for pulses in range(1, 401):
        statuses.append(hub.send(Request(version, device, key, [pulses])).status_code)
        if statuses[-1] == 503:
            break
        assert statuses[-1] == 200
        acknowledged.append(pulses)
    assert statuses[-1] == 503, "there was room"
    filler.unlink()
    last = len(statuses)
    assert hub.send(Request(version, device, key, [last])).status_code == 200
    assert hub.pours(device) == [*acknowledged, last]
    assert hub.program.stop()[0] == 0


# TLS's application data; a thread that wakes the event loop sends a byte, too, but no such record.
ANSWER = re.compile(r'sendto\(\d+<[^>]*>, "\\27\\3\\3')


def has_answered(trace: Path, before: int) -> bool:
    """Whether the hub has, since strace had told that many characters."""
    return ANSWER.search(trace.read_text()[before:]) is not None


@pytest.mark.case(51)
@V2_LATER
def test_every_answer_comes_after_the_commit_is_on_disk(
    hub: Hub, key: rsa.RSAPrivateKey, tmp_path: Path, version: str
) -> None:
    (device,) = hub.register(key)
    assert hub.program.stop()[0] == 0
    trace = tmp_path / "trace"
    calls = "fdatasync,fsync,sendto,sendmsg,recvfrom,recvmsg"
    hub.start(before=["strace", "-f", "-y", "-o", trace, "-e", f"trace={calls}"])
    synced = re.compile(rf"fdatasync\(\d+<{re.escape(str(hub.directory))}/[^>]*-wal>\)\s*= 0")
    resumed = re.compile(r"fdatasync resumed>\)\s*= 0")
    with hub.client() as client:
        client.get("/ca.crt")
        for pulses in range(1, 21):
            request = Request(version, device, key, [pulses])
            before = len(trace.read_text())
            assert client.post(request.path, content=request.body, headers=request.headers).status_code == 200
            wait_until(partial(has_answered, trace, before), "strace tells of no answer")
            since = trace.read_text()[before:]
            answer = ANSWER.search(since)
            sync = synced.search(since) or resumed.search(since)
            assert sync is not None, "nothing was synced"
            assert answer is not None
            assert sync.start() < answer.start(), since


@pytest.mark.case(51)
@V2_LATER
def test_a_hub_that_is_killed_under_load_has_all_that_it_acknowledged(
    hub: Hub, key: rsa.RSAPrivateKey, version: str
) -> None:
    (device,) = hub.register(key)
    acknowledged: list[int] = []
    for number in range(2):
        first = number * 1000

        def send(thread: int, first: int = first) -> None:
            with hub.client() as client, suppress(httpx.HTTPError):
                for pulses in range(first + thread + 1, first + 1000, 4):
                    request = Request(version, device, key, [pulses])
                    if client.post(request.path, content=request.body, headers=request.headers).status_code == 200:
                        acknowledged.append(pulses)

        with ThreadPoolExecutor(4) as threads:
            before = len(acknowledged)
            work = [threads.submit(send, thread) for thread in range(4)]
            deadline_s = time.monotonic() + 30
            while len(acknowledged) < before + 60:
                assert time.monotonic() < deadline_s, "it hardly answers"
                time.sleep(0.005)
            hub.program.signal(signal.SIGKILL)
            for one in work:
                one.result(30)
        hub.start(port=str(hub.port))
    stored = hub.pours(device)
    assert len(acknowledged) >= 120
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


@pytest.mark.case(51)
def test_a_hub_on_postgresql_that_is_killed_amid_an_eight_way_ingest_stores_each_pour_once(
    tmp_path: Path, start_program: Callable[..., Program], postgresql_server: PostgreSQL, key: rsa.RSAPrivateKey
) -> None:
    hub = Hub(tmp_path / "hub", start_program, database=postgresql_server.make_database())
    (device,) = hub.register(key)
    each, acknowledged = 10, []

    def send(thread: int) -> None:
        for pulses in range(1 + thread * each, 1 + (thread + 1) * each):
            request = Request("v2", device, key, [pulses])
            # As a device does it: until it is told that this one is on disk.
            wait_until(partial(is_taken, request), f"{pulses} is not taken", 60)
            acknowledged.append(pulses)

    def is_taken(request: Request) -> bool:
        try:
            return hub.send(request).status_code == 200
        except httpx.HTTPError:
            return False

    with ThreadPoolExecutor(8) as threads:
        work = [threads.submit(send, thread) for thread in range(8)]
        wait_until(lambda: len(acknowledged) >= 30, "it hardly answers")
        hub.program.signal(signal.SIGKILL)
        hub.start(port=str(hub.port))
        for one in work:
            one.result(60)
    assert hub.pours(device) == list(range(1, 8 * each + 1))
    hub.program.stop()
