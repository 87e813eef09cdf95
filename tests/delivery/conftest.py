"""The rig, for a test that needs nothing special of its spool."""

import logging
from collections.abc import Iterator

import pytest

from kegnet_client.spool.directory import Spool

from .rig import Rig


@pytest.fixture
def rig(spool: Spool, caplog: pytest.LogCaptureFixture) -> Iterator[Rig]:
    caplog.set_level(logging.INFO)
    rig = Rig(spool)
    yield rig
    rig.stop()
