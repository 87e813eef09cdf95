"""A device whose commands run in the process of the tests, against a server that is real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.authority import Authority
from ..support.server import Server
from .device import InProcess


@pytest.fixture
def device(tmp_path: Path, server: Server, key_pem: bytes, authority: Authority) -> Iterator[InProcess]:
    """A device that delivers to ``server``, without a 1-Wire bus."""
    device = InProcess(tmp_path / "root", server.url, key_pem, authority.ca)
    yield device
    device.close()
