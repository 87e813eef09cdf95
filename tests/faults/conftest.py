"""The fault matrix: its marks and its table, and what its tests stand on.

``matrix.toml`` is the list of cases. A test says with ``@pytest.mark.case(14)`` which it is for, wherever it
stands; with ``--faults-table`` each case is shown with what became of its tests, and one without a test fails the run.
"""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ..support.authority import Authority
from ..support.device import Device
from ..support.program import Program
from .matrix_table import Table
from .misbehaving_server import Serve, Server


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
def mount_ext4(mount_disk: Callable[[str, Path, int], Path]) -> Callable[[Path, int], Path]:
    """``mount_ext4(where, megabytes)`` puts a disk of its own there."""
    return lambda where, megabytes: mount_disk("ext4", where, megabytes)


@pytest.fixture
def mount_disk(tmp_path: Path, as_root: None) -> Iterator[Callable[[str, Path, int], Path]]:
    """``mount_disk("ext2", where, megabytes)`` puts a disk with this file system there."""
    with contextlib.ExitStack() as stack:

        def mount(file_system: str, where: Path, megabytes: int) -> Path:
            image = tmp_path / f"{where.name}.img"
            with image.open("wb") as file:
                file.truncate(megabytes * 2**20)
            subprocess.run([f"mkfs.{file_system}", "-q", "-m", "0", image], check=True, capture_output=True)
            where.mkdir(exist_ok=True)
            done = subprocess.run(["mount", "-o", "loop", image, where], check=False, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no disk image can be mounted here: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", "--lazy", str(where)], check=True)
            return where

        yield mount
