"""The fault matrix: its table, and what its tests stand on: the program as a process, and servers that misbehave.

``matrix.toml`` is the list of cases. A test says with ``@pytest.mark.case(14)`` which it is for, wherever it
stands; with ``--faults-table`` each case is shown with what became of its tests, and one without a test fails the run.
"""

import contextlib
import gzip
import json
import os
import pty
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGTERM, Signals
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

import pytest

from kegnet_client import config
from kegnet_client.clock import Clock
from kegnet_client.hub import pki
from kegnet_client.identity import generate_private_key

COMMAND = Path(sys.executable).with_name("kegnet-client")
WAIT_S = 30.0
"""How long a test waits for what has to happen, before it fails."""
STARTED_MS = 1_700_000_000_000

# The table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", action="store_true", help="show each case of the fault matrix")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--faults-table", False):
        config.pluginmanager.register(Table())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("case"):
            item.user_properties += [("case", number) for number in mark.args]


class Table:
    """What became of each case's tests."""

    def __init__(self) -> None:
        self._cases = tomllib.loads(Path(__file__).with_name("matrix.toml").read_text())["case"]
        self._outcomes: dict[int, list[str]] = defaultdict(list)
        self._took_s: dict[int, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, number in report.user_properties:
            if name != "case":
                continue
            assert isinstance(number, int)
            self._took_s[number] += report.duration
            if report.when == "call" or report.outcome != "passed":
                self._outcomes[number].append("known bug" if hasattr(report, "wasxfail") else report.outcome)

    def verdict(self, number: int) -> str:
        """In one word: pass, or the worst that happened."""
        outcomes = self._outcomes[number]
        for worst, word in (("failed", "FAIL"), ("known bug", "KNOWN BUG"), ("passed", "pass"), ("skipped", "skip")):
            if worst in outcomes:
                return word
        return "MISSING"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if any(self.verdict(case["number"]) == "MISSING" for case in self._cases):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("fault matrix")
        group = ""
        colours = {"pass": {"green": True}, "skip": {"yellow": True}}
        for case in self._cases:
            number = case["number"]
            if case["group"] != group:
                group = case["group"]
                terminalreporter.write_line(group, bold=True)
            verdict = self.verdict(number)
            tests = f"{self._outcomes[number].count('passed')}/{len(self._outcomes[number])}"
            line = (
                f"{number:3} {verdict:9} {tests:>7} {self._took_s[number]:6.1f} s  {case['fault']}: {case['expected']}"
            )
            terminalreporter.write_line(line, **colours.get(verdict, {"red": True}))


# The program


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

    def wait_for(self, text: str, count: int = 1, timeout_s: float = WAIT_S) -> str:
        """The ``count``-th line that holds ``text``."""

        def found() -> list[str]:
            return [line for line in self._lines if text in line]

        with self._came:
            came = self._came.wait_for(lambda: len(found()) >= count, timeout_s)
            assert came, f"no {text!r} in:\n" + "\n".join(self._lines)
            return found()[count - 1]

    def close(self) -> None:
        """After the end of whoever writes."""
        self._thread.join(WAIT_S)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _read(self) -> None:
        rest = b""
        # A terminal whose other end is closed says EIO.
        with contextlib.suppress(OSError):
            while data := os.read(self._fd, 65536):
                *lines, rest = (rest + data).split(b"\n")
                with self._came:
                    self._lines += [line.decode("utf-8", "replace").rstrip("\r") for line in lines]
                    self._came.notify_all()


class Program:
    """A running process and its log, which it writes to a terminal. ``pid`` is the program's, whatever starts it."""

    def __init__(self, argv: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd="/", env=environment
        )
        os.close(theirs)
        self.log = Log(ours)

    @property
    def pid(self) -> int:
        """The last of those that started one another."""
        pid = self.process.pid
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[0])
        return pid

    def memory_kb(self, what: str = "VmRSS") -> int:
        """``VmRSS`` is what it has now, ``VmHWM`` the most that it ever had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0])

    def signal(self, number: Signals) -> None:
        os.kill(self.pid, number)

    def stop(self, number: Signals = SIGTERM) -> tuple[int, float]:
        """The exit code, and how many seconds it took to end."""
        started_s = time.monotonic()
        self.signal(number)
        return self.process.wait(WAIT_S), time.monotonic() - started_s

    def close(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.signal(Signals.SIGKILL)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class Device:
    """A root directory with key, CA bundle and configuration, and what can be done with it."""

    def __init__(self, root: Path, url: str, key_pem: bytes, ca: bytes) -> None:
        self.root = root
        self.uuid = str(uuid.uuid4())
        self.spool = root / "spool"
        self.rejected = self.spool / "rejected"
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
        self._programs: list[Program] = []

    def configure(self, **settings: str) -> None:
        """Write client.conf anew, with these settings (by their names in `Config`) changed."""
        self._settings |= settings
        (self.root / "conf" / "client.conf").write_text(config.fill(config.render(), self._settings))

    def drop(self, pulses: int, name: str | None = None, age_s: float = 0) -> Path:
        """A pour, written elsewhere and moved into the spool; ``pulses`` is by what it is known again."""
        return self.drop_text(f"0,{pulses},8123,{STARTED_MS + pulses}\n", name or f"{pulses:06}.pour", age_s)

    def drop_text(self, text: str | bytes, name: str, age_s: float = 0) -> Path:
        """The same for whatever ``text`` it is."""
        temp = self.spool / f".{uuid.uuid4().hex}.tmp"
        temp.write_bytes(text if isinstance(text, bytes) else text.encode())
        if age_s:
            os.utime(temp, (time.time() - age_s,) * 2)
        return temp.rename(self.spool / name)

    def waiting(self) -> list[str]:
        """The names in the spool that are like a record's."""
        return sorted(path.name for path in self.spool.glob("*") if path.suffix in (".pour", ".reading"))

    def reason(self, name: str) -> str:
        """Why ``name`` was rejected."""
        return (self.rejected / f"{name}.reason").read_text()

    def plug(self, data: str = "72 01 4b 46 7f ff 0e 10 57", millidegrees: int = 23125) -> Path:
        """A DS18B20 that says ``data``, in the kernel's words; its ``w1_slave``."""
        path = self.bus / "28-0316a2795c5b" / "w1_slave"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{data} : crc={data[-2:]} YES\n{data} t={millidegrees}\n")
        return path

    def command(self, *arguments: str | Path, before: Sequence[str | Path] = ()) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        argv = [*before, COMMAND, *arguments]
        environment = self._environment({})
        return subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False, cwd="/"
        )

    def status(self) -> dict[str, Any]:
        """What ``kegnet-client status --json`` says."""
        status: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return status

    def start(
        self, before: Sequence[str | Path] = (), up: bool = True, variables: Mapping[str, str] = MappingProxyType({})
    ) -> Program:
        """``kegnet-client run``, which ``before`` starts, and that it is up."""
        program = Program([*before, COMMAND, "run"], self._environment(variables))
        self._programs.append(program)
        if up:
            program.log.wait_for("delivers from")
        return program

    def reload(self, program: Program) -> None:
        """As ``systemctl reload`` does it; it has another try at once, too."""
        reloads = len(program.log.lines("reloaded: "))
        program.signal(Signals.SIGHUP)
        program.log.wait_for("reloaded: ", reloads + 1)

    def close(self) -> None:
        for program in self._programs:
            program.close()

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "KEGNET_ROOT": str(self.root), **variables}


# The servers


class Authority:
    """A CA of its own; ``ca`` is its certificate."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = pki.make_key()
        self.ca = pki.make_ca(self._key, directory.name, datetime.now(UTC))

    def issue(self, *hosts: str, days: int = 0) -> Path:
        """A server's certificate, made so many days from now, and its key."""
        key = pki.make_key()
        when = datetime.now(UTC) + timedelta(days=days)
        chain = self._directory / f"{uuid.uuid4().hex}.pem"
        chain.write_bytes(pki.issue_server(self._key, self.ca, key, [*(hosts or ("localhost",))], when) + key)
        return chain


@dataclass(frozen=True)
class Asked:
    """A request, decoded as far as it is one of this protocol's; ``body`` is as it was sent."""

    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    at_s: float = field(default_factory=time.monotonic)

    @property
    def records(self) -> list[dict[str, Any]]:
        """v3's records, or v2's one."""
        if not self.path.endswith("/records"):
            return [dict(parse_qsl(self.body.decode(), keep_blank_values=True))]
        data = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        records: list[dict[str, Any]] = json.loads(data)["records"]
        return records

    @property
    def pulses(self) -> list[int]:
        """The pours in it, by their pulses."""
        return [int(record["pulses"]) for record in self.records if "pulses" in record]

    @property
    def temperatures(self) -> list[int]:
        """The readings in it, in thousandths; v2's sign of life is -1."""
        names = ("millidegrees", "temp")
        return [int(record[name]) for record in self.records for name in names if name in record]

    def acknowledgement(self, *rejected: dict[str, Any]) -> bytes:
        """v3's answer that takes all but the ``rejected``; v2 has no use for it."""
        return json.dumps({"accepted": len(self.records) - len(rejected), "rejected": rejected}).encode()


Raw = Callable[[socket.socket], None]
Full = tuple[int, Sequence[str], bytes]
Answer = Callable[[Asked], "int | Full | Raw"]


class Server:
    """Accepts on a port of this machine and answers every request as ``answer`` says: with a status, with status,
    headers and body, or by doing something to the connection. A 200 alone stores the records and says so."""

    def __init__(self, chain: Path | None, version: str, address: str = "127.0.0.1", host: str = "localhost") -> None:
        self.answer: Answer = lambda _: 200
        self.connections = 0
        self.handshake_faults: list[str] = []
        self.released = threading.Event()
        """What a handler waits for that hangs; set at the end."""
        self.context: ssl.SSLContext | None = None
        if chain is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(chain)
        self._came = threading.Condition()
        self._asked: list[Asked] = []
        self._rows: dict[tuple[object, ...], int] = {}
        self._open: dict[threading.Thread, socket.socket] = {}
        self._address = address
        self._port = 0
        self._listener: socket.socket | None = None
        self.start()
        self.url = f"{'http' if chain is None else 'https'}://{host}:{self._port}/rest/{version}"

    def start(self) -> None:
        self._listener = socket.create_server((self._address, self._port))
        self._port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, args=(self._listener,))
        self._thread.start()

    def stop(self) -> None:
        """Away, with every connection."""
        if self._listener is None:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT_S)
        self._listener.close()
        self._listener = None
        self.released.set()
        for thread, connection in list(self._open.items()):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            thread.join(WAIT_S)

    def asked(self, pulses: int | None = None) -> list[Asked]:
        """All requests so far, or those with that pour."""
        with self._came:
            return [one for one in self._asked if pulses is None or pulses in one.pulses]

    def wait_for(self, pulses: int | None = None, count: int = 1, timeout_s: float = WAIT_S) -> list[Asked]:
        """The first ``count`` requests, or those with that pour."""
        return self.wait_until(lambda asked: asked if pulses is None else pulses in asked.pulses, count, timeout_s)

    def wait_until(self, fits: Callable[[Asked], object], count: int = 1, timeout_s: float = WAIT_S) -> list[Asked]:
        """The first ``count`` requests that fit."""
        with self._came:
            came = self._came.wait_for(lambda: sum(bool(fits(one)) for one in self._asked) >= count, timeout_s)
            assert came, f"only {len(self._asked)} requests, the last of them {self._asked[-5:]}"
            return [one for one in self._asked if fits(one)][:count]

    def rows(self) -> dict[int, int]:
        """The stored pours by their pulses, and how often each came; the same record is one row."""
        with self._came:
            return {int(str(key[1])): times for key, times in self._rows.items()}

    def store(self, asked: Asked) -> None:
        """Commit the pours."""
        with self._came:
            for record in asked.records:
                if "pulses" in record:
                    times = (record.get("elapsed_ms", record.get("et")), record.get("started_ms", record.get("ts")))
                    key = tuple(str(value) for value in (record["pin"], record["pulses"], *times))
                    self._rows[key] = self._rows.get(key, 0) + 1
            self._came.notify_all()

    def wait_for_rows(self, pulses: Sequence[int], timeout_s: float = WAIT_S) -> None:
        """Until each of these has exactly one row."""
        with self._came:
            wanted = set(pulses)
            came = self._came.wait_for(lambda: wanted <= {int(str(key[1])) for key in self._rows}, timeout_s)
            got = [int(str(key[1])) for key in self._rows]
            assert came, f"not stored: {sorted(wanted - set(got))}"
            assert all(got.count(number) == 1 for number in wanted)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(plain,))
            self._open[thread] = plain
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        me = threading.current_thread()
        # A client that refuses or goes away is what many of these tests are about.
        try:
            stream = plain
            if self.context is not None:
                stream = self._open[me] = self.context.wrap_socket(plain, server_side=True)
            with stream, contextlib.suppress(OSError):
                while asked := _read_request(stream):
                    self._reply(stream, asked)
        except OSError as error:
            self.handshake_faults.append(str(error))
        plain.close()
        self._open.pop(me, None)

    def _reply(self, stream: socket.socket, asked: Asked) -> None:
        with self._came:
            self._asked.append(asked)
            self._came.notify_all()
        answer = self.answer(asked)
        if callable(answer):
            answer(stream)
            return
        if answer == 200:
            self.store(asked)
            answer = (200, ["Content-Type: application/json"], asked.acknowledgement())
        status, headers, body = (answer, [], b"") if isinstance(answer, int) else answer
        lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", *headers]
        stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def _read_request(stream: socket.socket) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = stream.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    while len(body) < int(headers.get("content-length", "0")):
        more = stream.recv(65536)
        if not more:
            return None
        body += more
    return Asked(first.split(" ")[1], headers, body)


# Fixtures

Serve = Callable[..., Server]


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


@pytest.fixture(scope="session")
def chain(authority: Authority) -> Path:
    """A good server's key and certificate."""
    return authority.issue()


@pytest.fixture
def version() -> str:
    """The protocol that is spoken; a test that holds for v3 too has it parametrised."""
    return "v2"


@pytest.fixture
def serve(version: str) -> Iterator[Serve]:
    """``serve(chain)`` is another server; without a chain it speaks plain HTTP."""
    servers: list[Server] = []

    def start(chain: Path | None, **options: str) -> Server:
        servers.append(Server(chain, **{"version": version, **options}))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve: Serve, chain: Path) -> Server:
    """The server that the device is configured for."""
    return serve(chain)


@pytest.fixture
def device(tmp_path: Path, server: Server, key_pem: bytes, authority: Authority) -> Iterator[Device]:
    """A device that delivers to ``server``, without a 1-Wire bus."""
    device = Device(tmp_path / "root", server.url, key_pem, authority.ca)
    yield device
    device.close()


@pytest.fixture(scope="session")
def start_program() -> Iterator[Callable[..., Program]]:
    """``start_program(argv)`` runs until the end of all tests."""
    programs: list[Program] = []

    def start(argv: Sequence[str | Path]) -> Program:
        programs.append(Program(argv, {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}))
        return programs[-1]

    yield start
    for program in programs:
        program.close()


@pytest.fixture
def until() -> Callable[[Callable[[], object], str], None]:
    """``until(condition, what)`` waits for it; ``what`` says what did not happen."""

    def wait(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
        until_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < until_s, what
            time.sleep(0.01)

    return wait


@pytest.fixture
def right_clock() -> None:
    """Skips where temperatures would wait for this machine's clock."""
    if doubt := Clock().doubt():
        pytest.skip(f"no temperature is taken: {doubt}")


@pytest.fixture
def as_root() -> None:
    """Skips where the test cannot have what it breaks."""
    if os.geteuid() != 0:
        pytest.skip("takes root: it mounts, makes networks or takes limits from the machine")


@pytest.fixture
def fill_up() -> Callable[[Path], None]:
    """``fill_up(file)`` makes ``file`` as large as its disk lets it become."""

    def fill(path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            for size in (65536, 512, 1):
                with contextlib.suppress(
                    OSError
                ):  # that it is full; a write that takes less than it was given is no error
                    while file.write(bytes(size)):
                        pass
        assert os.statvfs(path).f_bavail == 0

    return fill


@pytest.fixture
def mount_ext4(tmp_path: Path, as_root: None) -> Iterator[Callable[[Path, int], Path]]:
    """``mount_ext4(where, megabytes)`` puts a disk of its own there."""
    with contextlib.ExitStack() as stack:

        def mount(where: Path, megabytes: int) -> Path:
            image = tmp_path / f"{where.name}.img"
            with image.open("wb") as file:
                file.truncate(megabytes * 2**20)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, capture_output=True)
            where.mkdir(exist_ok=True)
            done = subprocess.run(["mount", "-o", "loop", image, where], check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no disk image can be mounted here: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", str(where)], check=True)
            return where

        yield mount
