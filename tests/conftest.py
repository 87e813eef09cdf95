"""A spool, a device's key, a CA, a database server, disks of their own, and processes that die."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from kegnet_client.host.clock import SETTLING_S, Clock, read_kernel_clock
from kegnet_client.keys import generate_private_key
from kegnet_client.spool.directory import Spool

from .support import mosquitto, postgresql, pouchdb
from .support.authority import Authority
from .support.mosquitto import Mosquitto
from .support.operators import Operator
from .support.postgresql import PostgreSQL
from .support.pouchdb import PouchDB
from .support.server import Serve, Server
from .support.small_couch import SmallCouch

# How long an example takes is the machine's matter.
hypothesis.settings.register_profile("kegnet", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)  # for make check
hypothesis.settings.load_profile("kegnet")

COVERS_PROGRAMS = "KEGNET_COVER_PROGRAMS"
"""In the environment of a run whose coverage is that of the programs, too."""

WHOLE_PROGRAMS = {"bench", "browser", "end_to_end", "faults", "gpio", "interop", "processes", "system", "torture"}
"""The directories of tests that start whole programs; the Makefile has them, too."""

DIE_AT_EVERY_STEP = """
import os, sys

def die_at_every_step(prepare, work, check):
    \"\"\"Run `work` in a process that ends before its first system call, then in one before its second, ...\"\"\"
    step, died = 0, True
    while died:
        prepare()
        if (pid := os.fork()) == 0:
            left = step
            def profile(frame, event, function):
                nonlocal left
                if event == "c_call" and getattr(function, "__module__", None) in ("posix", "fcntl", "select"):
                    left -= 1
                    if left < 0:
                        os._exit(9)
            sys.setprofile(profile)
            work()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, 9), status
        died = status == 9
        check(died)
        step += 1
    print(step)
"""


def pytest_configure(config: pytest.Config) -> None:
    # Coverage is of what runs in the processes of the tests, unless that of the programs which they start is wanted:
    # it takes its time, and a program that dies in the middle leaves half a file of it.
    starts_workers = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not starts_workers and COVERS_PROGRAMS not in os.environ:
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


@pytest.hookimpl(tryfirst=True)  # before those without the wanted marks are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        directory = item.path.relative_to(Path(__file__).parent).parts[0]
        if directory in WHOLE_PROGRAMS:
            item.add_marker("process")
        if directory == "system":
            item.add_marker("system")


@pytest.fixture(autouse=True)
def stay_as_nice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that steps back for others would take this process with it, for all of the tests that follow."""
    monkeypatch.setattr("os.nice", lambda _: 0)


@pytest.fixture(scope="session", autouse=True)
def kernel_vouches_for_the_clock() -> Iterator[None]:
    """In the process of the tests the time is trusted right after a boot, too: a real kernel may not vouch for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clock.__init__, "__defaults__", (lambda: (0, 0),))
        yield


@pytest.fixture(autouse=True)
def settled(request: pytest.FixtureRequest) -> None:
    """Programs ask the real kernel: right after a boot a test that starts them waits until they trust the time."""
    clock = Clock(read_kernel_clock)
    wait_s = SETTLING_S - clock.monotonic_s()
    if wait_s <= 0 or clock.synchronised() or request.node.get_closest_marker("process") is None:
        return
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nthis machine has just started: {wait_s:.0f} s until programs trust the time", file=sys.stderr)
    time.sleep(wait_s)


def _levels() -> dict[str, int]:
    loggers = list(logging.root.manager.loggerDict.items())  # hubs of other tests run on and may make more
    return {
        name: one.level for name, one in loggers if name.startswith("kegnet_client") and isinstance(one, logging.Logger)
    }


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command chooses from which level on its process logs, and this one is that of all the tests that follow."""
    before = _levels()
    yield
    for name in _levels():
        logging.getLogger(name).setLevel(before.get(name, logging.NOTSET))


@pytest.fixture(autouse=True)
def no_sums_of_other_hubs(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a hub of an earlier module, which runs on, sums up once a minute is no line of this test."""
    if "hub" in request.path.relative_to(Path(__file__).parent).parts:
        yield
        return

    def is_of_this_test(record: logging.LogRecord) -> bool:
        return record.name != "kegnet_client.hub.log_rate"

    caplog.handler.addFilter(is_of_this_test)
    yield
    caplog.handler.removeFilter(is_of_this_test)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An empty spool that this process delivers from."""
    (tmp_path / "spool").mkdir()
    spool = Spool(tmp_path / "spool")
    spool.lock()
    yield spool
    spool.close()


@pytest.fixture(scope="session")
def key_pem() -> bytes:
    """A device's private key; one for all, since making one takes a while."""
    return generate_private_key()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that devices here trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA that they do not."""
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="session")
def chain(authority: Authority) -> Path:
    """A good server's key and certificate."""
    return authority.issue()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server for the session."""
    with postgresql.running() as server:
        yield server


@pytest.fixture(scope="session")
def pouchdb_server() -> Iterator[PouchDB]:
    """A server of CouchDB's protocol for the session."""
    with pouchdb.running() as server:
        yield server


@pytest.fixture
def couch() -> Iterator[SmallCouch]:
    """A server of CouchDB's protocol that does as it is told, up."""
    couch = SmallCouch()
    couch.start()
    yield couch
    couch.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """An MQTT broker, up."""
    directory = tmp_path / "broker"
    directory.mkdir()
    with mosquitto.running(directory) as broker:
        yield broker


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Who may sign programs."""
    return Operator(tmp_path_factory.mktemp("keys"), "ann")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Who may not."""
    return Operator(tmp_path_factory.mktemp("keys"), "eve")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """``serve(authority.issue())`` is another server."""
    servers: list[Server] = []

    def start(chain: Path) -> Server:
        servers.append(Server(chain, tmp_path / "root" / "spool"))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve: Serve, chain: Path) -> Server:
    """The server that the device is configured for."""
    return serve(chain)


@pytest.fixture
def mount_tmpfs(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """``mount_tmpfs("size=64k")`` is the root of a small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("takes root: it mounts a tmpfs")
    with ExitStack() as stack:

        def mount(options: str) -> Path:
            root = tmp_path / "disk"
            root.mkdir()
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", root], check=False, capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
            stack.callback(lambda: subprocess.run(["umount", "--lazy", str(root)], check=True))
            return root

        yield mount


@pytest.fixture
def die_at_every_step(tmp_path: Path) -> Callable[[str], int]:
    """Runs a script that calls ``die_at_every_step(prepare, work, check)`` in a directory; how many steps there were.

    ``work`` runs again and again in a process that ends at the next system call; ``check(died)`` follows each.
    """

    def run(script: str) -> int:
        directory = tmp_path / "dying"
        directory.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", DIE_AT_EVERY_STEP + script, directory],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    return run
