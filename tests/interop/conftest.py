"""Somebody else's implementation of HTTP Message Signatures: the npm package http-message-signatures, run by node."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kegnet_client.keys import PrivateKey

PACKAGE = "http-message-signatures"
PLACES = [Path(sys.prefix) / "node", Path(__file__).parents[2] / ".venv-test" / "node"]
"""Where `make test` installs it, seen from its own environment and from those of other Pythons."""

Peer = Callable[[str, list[dict[str, Any]]], list[Any]]


@pytest.fixture(scope="session")
def peer() -> Peer:
    """``peer("verify", requests)`` or ``peer("sign", requests)``: see peer.mjs."""
    modules = next((place for place in PLACES if (place / "node_modules" / PACKAGE).is_dir()), None)
    if shutil.which("node") is None or modules is None:
        pytest.skip(f"takes node and, from npm, {PACKAGE} in {PLACES[-1]}")

    def run(task: str, requests: list[dict[str, Any]]) -> list[Any]:
        done = subprocess.run(
            ["node", Path(__file__).with_name("peer.mjs"), modules, task],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout)
        assert len(answers) == len(requests)
        return list(answers)

    return run


@pytest.fixture(scope="session", params=["rsa-v1_5-sha256", "ecdsa-p256-sha256", "ed25519"])
def key(request: pytest.FixtureRequest) -> PrivateKey:
    """A device's key, of each kind."""
    match request.param:
        case "rsa-v1_5-sha256":
            return rsa.generate_private_key(65537, 2048)
        case "ecdsa-p256-sha256":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()
