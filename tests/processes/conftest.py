"""The program as it is in real life: processes, a terminal, an HTTPS server, and a root directory of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.authority import Authority
from ..support.device import Device
from ..support.server import Server
from ..support.users import NOBODY, find_modules, find_python


@pytest.fixture
def device(tmp_path: Path, server: Server, key_pem: bytes, authority: Authority) -> Iterator[Device]:
    """A device that delivers to ``server``, without a 1-Wire bus."""
    device = Device(tmp_path / "root", server.url, key_pem, authority.ca)
    yield device
    device.close()


@pytest.fixture
def plain_users_device(server: Server, key_pem: bytes, authority: Authority) -> Iterator[Device]:
    """The same for a user without rights, who runs it: the directory of the tests is closed to others."""
    if os.getuid() != 0:
        pytest.skip("every other test here runs without root already")
    variables = find_modules()
    if (python := find_python(NOBODY, variables)) is None:
        pytest.skip(f"uid {NOBODY['user']} reaches no Python that has the libraries of this one")
    directory = Path(tempfile.mkdtemp(prefix="kegnet-test-"))
    try:
        program = [python, "-m", "kegnet_client.cli"]
        device = Device(directory / "root", server.url, key_pem, authority.ca, program, variables, **NOBODY)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, NOBODY["user"], NOBODY["group"])
        yield device
        device.close()
    finally:
        shutil.rmtree(directory)
