"""The program as it is in real life: processes, a terminal, an HTTPS server, and a root directory of its own."""

import http.server
import os
import pty
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGTERM, Signals
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kegnet_client import config
from kegnet_client.clock import Clock
from kegnet_client.hub import pki
from kegnet_client.identity import generate_private_key

COMMAND = Path(sys.executable).with_name("kegnet-client")
WAIT_S = 20.0
"""How long a test waits for what has to happen, before it fails."""

STARTED_MS = 1_700_000_000_000

NOBODY: Mapping[str, Any] = {"user": 65534, "group": 65534, "extra_groups": ()}


class Log:
    """Lines as they come from a file descriptor, and the wait for one of them."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: list[str] = []
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def lines(self, text: str = "") -> list[str]:
        """Those so far that hold ``text``."""
        with self._came:
            return [line for line in self._lines if text in line]

    def wait_for(self, text: str, count: int = 1) -> str:
        """The ``count``-th line that holds ``text``."""
        with self._came:
            found = self._came.wait_for(lambda: len(self._matching(text)) >= count, WAIT_S)
            assert found, f"no {text!r} in:\n" + "\n".join(self._lines)
            return self._matching(text)[count - 1]

    def close(self) -> None:
        """After the end of whoever writes."""
        self._thread.join(WAIT_S)
        os.close(self._fd)

    def _matching(self, text: str) -> list[str]:
        return [line for line in self._lines if text in line]

    def _read(self) -> None:
        rest = b""
        # A terminal whose other end is closed says EIO.
        with suppress(OSError):
            while data := os.read(self._fd, 65536):
                *lines, rest = (rest + data).split(b"\n")
                with self._came:
                    self._lines += [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
                    self._came.notify_all()


class Program:
    """A running process; ``log`` is its stderr, a terminal unless told otherwise."""

    def __init__(
        self, argv: Sequence[str | Path], *, terminal: bool, stdout: int | None = None, **options: Any
    ) -> None:
        ours, theirs = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            cwd="/",
            **options,
        )
        os.close(theirs)
        self.log = Log(ours)

    def signal(self, number: Signals) -> None:
        self.process.send_signal(number)

    def stop(self, number: Signals = SIGTERM) -> tuple[int, float]:
        """The exit code, and how many seconds it took to end."""
        started_s = time.monotonic()
        self.signal(number)
        return self.process.wait(WAIT_S), time.monotonic() - started_s

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


@dataclass(frozen=True)
class Call:
    """What a server was asked, and the names that stood in the spool at that moment."""

    path: str
    fields: dict[str, str]
    standing: list[str] = field(compare=False)


class Server:
    """An HTTPS server that answers what ``answer`` says: a status, and maybe headers."""

    def __init__(self, context: ssl.SSLContext, spool: Path, port: int = 0) -> None:
        self.answer: Callable[[Call], int] = lambda _: 200
        self.released = threading.Event()
        """What a handler waits for that hangs; set at the end."""
        self._context = context
        self._spool = spool
        self._calls: list[Call] = []
        self._came = threading.Condition()
        self._open: list[socket.socket] = []
        self._http: http.server.ThreadingHTTPServer | None = None
        self.port = port
        self.start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/rest/v2"

    def start(self) -> None:
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._http.socket = self._context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that refuse or go away
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Away, with every connection."""
        if self._http is None:
            return
        self._http.shutdown()
        self._thread.join()
        for connection in self._open:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.released.set()
        self._http.server_close()
        self._http = None

    def calls(self, name: str) -> list[Call]:
        with self._came:
            return self._named(name)

    def wait_for(self, name: str, count: int = 1) -> list[Call]:
        """The first ``count`` calls of that name."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._named(name)) >= count, WAIT_S), f"only {self._calls}"
            return self._named(name)[:count]

    def _named(self, name: str) -> list[Call]:
        return [call for call in self._calls if call.path.endswith("/" + name)]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                server._open.append(self.request)
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                standing = sorted(path.name for path in server._spool.glob("*"))
                call = Call(self.path, dict(parse_qsl(body, keep_blank_values=True)), standing)
                with server._came:
                    server._calls.append(call)
                    server._came.notify_all()
                status = server.answer(call)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the test says what it expects."""

        return Handler


class Device:
    """A root directory with key, CA bundle and configuration, and what can be done with it.

    ``program`` starts a command; ``variables`` and ``options`` (of Popen) go with it.
    """

    def __init__(
        self,
        root: Path,
        url: str,
        key_pem: bytes,
        ca: bytes,
        program: Sequence[str | Path] = (COMMAND,),
        variables: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        self.root = root
        self.uuid = str(uuid.uuid4())
        self.spool = root / "spool"
        self.bus = root / "w1"
        self.key = root / "conf" / "privkey.pem"
        self.ca = root / "conf" / "ca.crt"
        for directory in (self.key.parent, self.spool):
            directory.mkdir(parents=True)
        self.key.touch(0o600)
        self.key.write_bytes(key_pem)
        self.ca.write_bytes(ca)
        self._settings = {"uuid": self.uuid, "base": url, "thermometer": "w1"}
        self.configure()
        self._program = program
        self._variables = variables
        self._options = options
        self._programs: list[Program] = []

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        key = load_pem_private_key(self.key.read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.public_key()

    def configure(self, **settings: str) -> None:
        """Write client.conf anew, with these settings (by their names in `Config`) changed."""
        self._settings |= settings
        (self.root / "conf" / "client.conf").write_text(config.fill(config.render(), self._settings))

    def drop(self, pulses: int = 586, name: str | None = None) -> Path:
        """A pour, written elsewhere and moved into the spool."""
        path = self.spool / (name or f"{uuid.uuid4().hex}.pour")
        temp = path.with_suffix(".tmp")
        temp.write_text(f"0,{pulses},8123,{STARTED_MS}\n")
        return temp.rename(path)

    def plug(self, sensor: str = "28-0316a2795c5b") -> Path:
        """A DS18B20 at 23.125 °C, in the kernel's words; its ``w1_slave``."""
        data = "72 01 4b 46 7f ff 0e 10 57"
        path = self.bus / sensor / "w1_slave"
        path.parent.mkdir(parents=True)
        path.write_text(f"{data} : crc=57 YES\n{data} t=23125\n")
        return path

    def command(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            [*self._program, *arguments],
            env=self._environment({}),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
            cwd="/",
            **self._options,
        )

    def start(
        self,
        *arguments: str | Path,
        before: Sequence[str] = (),
        terminal: bool = True,
        variables: Mapping[str, str] = MappingProxyType({}),
        stdout: int | None = None,
    ) -> Program:
        """``kegnet-client run``, unless ``arguments`` say otherwise; ``before`` starts it."""
        argv = [*before, *self._program, *(arguments or ("run",))]
        environment = self._environment(variables)
        self._programs.append(Program(argv, terminal=terminal, stdout=stdout, env=environment, **self._options))
        return self._programs[-1]

    def close(self) -> None:
        for program in self._programs:
            program.close()

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "KEGNET_ROOT": str(self.root)}
        return {**own, **self._variables, **variables}


class Authority:
    """A CA of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = pki.make_key()
        self.ca = pki.make_ca(self._key, directory.name, datetime.now(UTC))

    def serve(self, host: str = "localhost") -> ssl.SSLContext:
        """What makes a server one that is ``host`` to those who believe this CA."""
        key = pki.make_key()
        chain = self._directory / f"{host}.pem"
        chain.write_bytes(pki.issue_server(self._key, self.ca, key, [host], datetime.now(UTC)) + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context


@pytest.fixture(scope="session")
def key_pem() -> bytes:
    """A device's private key; one for all, since making one takes a while."""
    return generate_private_key()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that devices here believe."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that they do not."""
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[ssl.SSLContext], Server]]:
    """``serve(authority.serve())`` is another server."""
    servers: list[Server] = []

    def start(context: ssl.SSLContext) -> Server:
        servers.append(Server(context, tmp_path / "root" / "spool"))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve: Callable[[ssl.SSLContext], Server], authority: Authority) -> Server:
    """The server that the device is configured for."""
    return serve(authority.serve())


@pytest.fixture
def device(tmp_path: Path, server: Server, key_pem: bytes, authority: Authority) -> Iterator[Device]:
    """A device that delivers to ``server``, without a 1-Wire bus."""
    device = Device(tmp_path / "root", server.url, key_pem, authority.ca)
    yield device
    device.close()


@pytest.fixture
def right_clock() -> None:
    """Skips where temperatures would wait for this machine's clock."""
    if doubt := Clock().doubt():
        pytest.skip(f"no temperature is taken: {doubt}")


@pytest.fixture
def plain_users_device(server: Server, key_pem: bytes, authority: Authority) -> Iterator[Device]:
    """The same for a user without rights, who runs it: the directory of the tests is closed to others."""
    if os.getuid() != 0:
        pytest.skip("every other test here runs without root already")
    modules = [str(Path(config.__file__).parents[1]), *(path for path in sys.path if "site-packages" in path)]
    variables = {"PYTHONPATH": os.pathsep.join(modules), "PYTHONDONTWRITEBYTECODE": "1"}
    directory = Path(tempfile.mkdtemp(prefix="kegnet-test-"))
    try:
        program = [_python_for(NOBODY, variables), "-m", "kegnet_client.cli"]
        device = Device(directory / "root", server.url, key_pem, authority.ca, program, variables, **NOBODY)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, NOBODY["user"], NOBODY["group"])
        yield device
        device.close()
    finally:
        shutil.rmtree(directory)


def _python_for(who: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    # The interpreter of the tests may stand in a directory that is closed to others.
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        with suppress(OSError):
            command = [python, "-c", "import kegnet_client.daemon"]
            if subprocess.run(command, env=variables, cwd="/", check=False, **who).returncode == 0:
                return python
    pytest.skip(f"uid {who['user']} reaches no Python {version} that has the libraries of this one")
