"""Several hub processes on one PostgreSQL database, behind nginx: what is posted to one is heard at all, once."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

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
LAST = 1000
"""The pulses of the last pour."""
WITHOUT_PAGES = "import sys; sys.modules['nicegui'] = None\n"
NGINX = """
daemon off;
error_log stderr;
pid {directory}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory};
    proxy_temp_path {directory};
    fastcgi_temp_path {directory};
    uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream hub {{
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {home}/server.crt;
        ssl_certificate_key {home}/server.key;
        location / {{
            proxy_pass https://hub;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {home}/ca.crt;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            add_header X-Process $upstream_addr;
        }}
    }}
}}
"""


@contextmanager
def hub_processes(directory: Path, count: int) -> Iterator[list[int]]:
    """``hub run``, so many times at once, each as a process of its own; their ports."""
    argv = [sys.executable, "-c", WITHOUT_PAGES + PROGRAM, "run", "--dir", str(directory), "--port", "0"]
    argv += ["--bind", "127.0.0.1", "--proxy", "127.0.0.1"]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            for _ in range(count)
        ]
        try:
            lines = [process.stdout.readline() for process in processes if process.stdout is not None]
            yield [int(line.split(" answers at ")[1].split(" ")[0].rpartition(":")[2]) for line in lines]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                _, said = process.communicate(timeout=WAIT_S)
                assert "Traceback" not in said, said


@contextmanager
def balancing(home: Home, ports: list[int], directory: Path) -> Iterator[str]:
    """A real nginx that gives each request to the next of the hubs at ``ports``; its URL."""
    directory.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    servers = " ".join(f"server 127.0.0.1:{one};" for one in ports)
    configuration = directory / "nginx.conf"
    configuration.write_text(NGINX.format(directory=directory, servers=servers, port=port, home=home.directory))
    argv = ["nginx", "-c", str(configuration), "-e", "stderr", "-g", "user root;" if os.geteuid() == 0 else ""]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: process.poll() is not None or _accepts(port), "nginx does not answer")
            assert process.poll() is None, process.stderr and process.stderr.read()
            yield f"https://localhost:{port}"
        finally:
            process.terminate()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def home(tmp_path: Path, postgresql_server: PostgreSQL) -> Home:
    """The directory of a hub whose database is PostgreSQL."""
    home = Home(tmp_path / "hub")
    home.initialise(["localhost"], postgresql_server.make_database(), utc_now())
    return home


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
@pytest.mark.parametrize("count", [2, 4])
def test_what_is_posted_to_one_is_heard_at_all_of_them_once(
    home: Home, tmp_path: Path, device_key: rsa.RSAPrivateKey, form: Callable[..., bytes], count: int
) -> None:
    ready = threading.Barrier(2 * count + 1)
    heard: list[list[int]] = [[] for _ in range(2 * count)]
    asked: list[str] = [""] * len(heard)
    with closing(Store(home.database())) as store:
        store.prepare()
        store.add_device(DEVICE, device_key.public_key(), "bar", NOW_MS)
    trust = ssl.create_default_context(cafile=home.ca_certificate)
    token = {"Authorization": f"Bearer {home.token()}"}
    with (
        hub_processes(home.directory, count) as ports,
        balancing(home, ports, tmp_path / "nginx") as url,
        httpx.Client(base_url=url, verify=trust, headers=token, trust_env=False) as client,
    ):

        def listen(number: int) -> None:
            with client.stream("GET", "/api/events?channels=pours&after=0", timeout=WAIT_S) as stream:
                asked[number] = stream.headers["X-Process"]
                ready.wait(WAIT_S)
                for event in read_events(stream):
                    heard[number] += [pour["pulses"] for pour in event.body["pours"]]
                    if LAST in heard[number]:
                        break

        listeners = [threading.Thread(target=listen, args=(number,)) for number in range(len(heard))]
        for listener in listeners:
            listener.start()
        ready.wait(WAIT_S)
        posted = set()
        for number in (*range(1, 40), LAST):  # the last one comes when all else was heard, or never is
            body = form("pour", id=DEVICE, pin=0, pulses=number, et=1000, ts=NOW_MS + number)
            answer = client.post("/rest/v2/pour", content=body, headers={"Content-Type": CONTENT_TYPE})
            assert answer.status_code == 200
            posted.add(answer.headers["X-Process"])
        for listener in listeners:
            listener.join(WAIT_S)
    assert set(asked) == posted == {f"127.0.0.1:{port}" for port in ports}
    assert heard[0] == [*range(1, 40), LAST]
    assert heard == [heard[0]] * len(heard)


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
