"""A hub for the session and one for a test to break; keys and the devices that have them."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ...support.program import Program
from .hub_process import Hub
from .signed_request import Key

PULSES = itertools.count(1000, 1000)


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    """The key that the devices here sign with, where nothing else is said."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_key() -> rsa.RSAPrivateKey:
    """One that no device here has."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def session_hub(tmp_path_factory: pytest.TempPathFactory, start_program: Callable[..., Program]) -> Hub:
    """A hub for whatever leaves it as it was."""
    return Hub(tmp_path_factory.mktemp("hub"), start_program, pages=True)


@pytest.fixture
def hub(tmp_path: Path, start_program: Callable[..., Program]) -> Iterator[Hub]:
    """A hub that the test may break."""
    hub = Hub(tmp_path / "hub", start_program)
    yield hub
    with suppress(OSError):
        hub.program.stop()


@pytest.fixture(scope="session")
def keys(key: rsa.RSAPrivateKey) -> dict[str, Key]:
    """One of each kind."""
    return {
        "rsa": key,
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.fixture(scope="session")
def devices(session_hub: Hub, keys: dict[str, Key], other_key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The session's hub's, by the kind of their key; and one with the same key, another's, and a revoked one."""
    owners: dict[str, Key] = {**keys, "same key": keys["rsa"], "another's": other_key, "revoked": keys["rsa"]}
    found = dict(zip(owners, session_hub.register(*owners.values()), strict=True))
    session_hub.command("devices", "revoke", found["revoked"])
    return found


@pytest.fixture
def device(devices: dict[str, str]) -> str:
    """The uuid of a device that the session's hub knows by ``key``."""
    return devices["rsa"]


@pytest.fixture
def new() -> int:
    """A pour that no other test sends, by its pulses; so are the thousand after it."""
    return next(PULSES)
