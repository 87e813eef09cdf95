"""A change of the key: that it is done, or why it is not."""

import stat

import pytest

from kegnet_client.core.errors import KegnetError
from kegnet_client.enrolment.rotate_key import UnfinishedError, rotate_key
from kegnet_client.host.clock import Clock
from kegnet_client.sinks.open import send_heartbeat

from ..support.waits import WAIT_S
from .device import Device
from .hub import Hub

START_MS = 1_700_000_000_000


def settle(hub: Hub, device: Device, old: str) -> None:
    """Assert that the change is done: one key, a new one, here and there, and nothing beside it."""
    key = device.identity().fingerprint
    assert key != old
    assert hub.keys(device.uuid) == (key,)
    assert device.beside() == set()
    assert stat.S_IMODE(device.key.stat().st_mode) == 0o600
    assert device.file.with_name("device.pub").read_bytes() == device.identity().public_pem()
    send_heartbeat(device.settings, Clock(), {})


def unfinished(device: Device, take_over_s: float = WAIT_S, kind: type[KegnetError] = UnfinishedError) -> str:
    with pytest.raises(kind) as caught:
        rotate_key(device.load(), take_over_s)
    assert type(caught.value) is kind
    return str(caught.value)
