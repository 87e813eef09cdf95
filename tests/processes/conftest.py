"""The program as it is in real life: processes, a terminal, an HTTPS server, and a root directory of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import kegnet_client

from ..support.authority import Authority
from ..support.device import Device
from ..support.server import Server

NOBODY: Mapping[str, Any] = {"user": 65534, "group": 65534, "extra_groups": ()}


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
    modules = [str(Path(kegnet_client.__file__).parents[1]), *(path for path in sys.path if "site-packages" in path)]
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
            command = [python, "-c", "import kegnet_client.commands.run"]
            if subprocess.run(command, env=variables, cwd="/", check=False, **who).returncode == 0:
                return python
    pytest.skip(f"uid {who['user']} reaches no Python {version} that has the libraries of this one")
