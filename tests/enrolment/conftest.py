"""Hubs, and devices that they know."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.core.wire.base_url import parse_base_url
from kegnet_client.enrolment.provision import draft, write
from kegnet_client.hub.app import wall_ms

from .device import Device
from .hub import Hub, running_hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub that answers."""
    with running_hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[Callable[[str], Hub]]:
    """``start_hub("other")`` is another one, with a CA of its own."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(running_hub(tmp_path / name))


@pytest.fixture
def make_device(tmp_path: Path, hub: Hub, key_pem: bytes) -> Callable[[], Device]:
    def make() -> Device:
        root = tmp_path / f"device-{uuid.uuid4()}"
        base = parse_base_url(f"{hub.url}/rest/v2")
        made = draft(root, SECTIONS, base, "enroll", brings_ca=True)
        settings = made.settings
        write(made, [(settings.private_key, key_pem, 0o600), (settings.ca_bundle, hub.home.ca(), 0o644)])
        (root / "spool").mkdir()
        device = Device(root, made.config)
        key = device.identity().key.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        hub.store.add_device(device.uuid, key, "tap", wall_ms())
        return device

    return make


@pytest.fixture
def device(make_device: Callable[[], Device]) -> Device:
    return make_device()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root
