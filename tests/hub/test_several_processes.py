"""Several hub processes on one PostgreSQL database: what is posted to one is heard at all of them, once."""

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from kegnet_client.core.wire.forms import CONTENT_TYPE
from kegnet_client.hub.home import Home
from kegnet_client.hub.serve import utc_now
from kegnet_client.hub.store import events
from kegnet_client.hub.store.records import Store

from ..support.postgresql import PostgreSQL
from ..support.waits import WAIT_S, wait_until
from .conftest import NOW_MS
from .test_cli import PROGRAM
from .test_events import read_events

pytestmark = pytest.mark.process
DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"


@contextmanager
def hub_process(directory: Path) -> Iterator[str]:
    """``hub run`` as a process of its own; its URL."""
    argv = [sys.executable, "-c", PROGRAM, "run", "--dir", str(directory), "--port", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield line.split(" answers at ")[1].split(" ")[0].replace("127.0.0.1", "localhost")
        finally:
            process.terminate()
            _, said = process.communicate(timeout=WAIT_S)
            assert "Traceback" not in said, said


@pytest.fixture
def home(tmp_path: Path, postgresql_server: PostgreSQL) -> Home:
    """The directory of a hub whose database is PostgreSQL."""
    home = Home(tmp_path / "hub")
    home.initialise(["localhost"], postgresql_server.make_database(), utc_now())
    return home


@pytest.fixture
def clients(home: Home, device_key: object) -> Iterator[list[httpx.Client]]:
    """Somebody who reads, at each of two processes."""
    with closing(Store(home.database())) as store, ExitStack() as stack:
        store.prepare()
        store.add_device(DEVICE, device_key.public_key(), "bar", NOW_MS)  # type: ignore[attr-defined]  # RSA
        trust = ssl.create_default_context(cafile=home.ca_certificate)
        headers = {"Authorization": f"Bearer {home.token()}"}
        urls = [stack.enter_context(hub_process(home.directory)) for _ in range(2)]
        yield [
            stack.enter_context(httpx.Client(base_url=url, verify=trust, headers=headers, trust_env=False))
            for url in urls
        ]


def test_what_is_posted_to_one_is_heard_at_all_of_them_once(
    clients: list[httpx.Client], form: Callable[..., bytes]
) -> None:
    count = 40
    heard: list[list[int]] = [[], []]
    ready = threading.Barrier(3)

    def listen(number: int) -> None:
        with clients[number].stream("GET", "/api/events?channels=pours&after=0", timeout=WAIT_S) as stream:
            ready.wait(WAIT_S)
            for event in read_events(stream):
                heard[number] += [pour["pulses"] for pour in event.body["pours"]]
                if len(heard[number]) >= count:
                    break

    listeners = [threading.Thread(target=listen, args=(number,)) for number in range(2)]
    for listener in listeners:
        listener.start()
    ready.wait(WAIT_S)
    for number in range(count):
        body = form("pour", id=DEVICE, pin=0, pulses=number + 1, et=1000, ts=NOW_MS + number)
        answer = clients[number % 2].post("/rest/v2/pour", content=body, headers={"Content-Type": CONTENT_TYPE})
        assert answer.status_code == 200
    for listener in listeners:
        listener.join(WAIT_S)
    assert heard[0] == heard[1]
    assert sorted(heard[0]) == list(range(1, count + 1))


def test_ids_are_in_the_order_of_commits(home: Home, postgresql_server: PostgreSQL) -> None:
    with closing(Store(home.database())) as store:
        store.prepare()
        holds, may_end = threading.Event(), threading.Event()

        def say(name: str, wait: bool) -> None:
            def work(connection: object) -> None:
                events.append(connection, NOW_MS, [("test", name)])  # type: ignore[arg-type]  # a Connection
                if wait:
                    holds.set()
                    assert may_end.wait(WAIT_S)

            store.write(work)

        first = threading.Thread(target=say, args=("first", True))
        first.start()
        assert holds.wait(WAIT_S)
        second = threading.Thread(target=say, args=("second", False))
        second.start()
        # The second has to wait for the lower id, so that nobody can read past it.
        wait_until(lambda: postgresql_server.count_waiting() == 1, "the second waits for the first")
        assert store.events_after(0, 10) == []
        may_end.set()
        first.join(WAIT_S)
        second.join(WAIT_S)
        assert [json.loads(event.body) for event in store.events_after(0, 10)] == ["first", "second"]
