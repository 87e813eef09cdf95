"""Operators with real keys, and the device that knows them."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kegnet_client.runner.statement import NAMESPACE, signed_bytes
from kegnet_client.runner.trust import Trust, sign

MAC_ID = 202481587074134
Document = dict[str, Any]


class Operator:
    """Somebody with a key, who signs."""

    def __init__(self, directory: Path, principal: str, *kind: str) -> None:
        self.principal = principal
        self.key = directory / principal
        words = kind or ("-t", "ed25519")
        subprocess.run(["ssh-keygen", "-q", *words, "-N", "", "-C", principal, "-f", self.key], check=True)
        self.public = self.key.with_name(f"{principal}.pub")

    def allowed_line(self, options: str = f'namespaces="{NAMESPACE}"') -> str:
        return f"{self.principal} {options} {' '.join(self.public.read_text().split()[:2])}\n"

    def sign(self, document: Document) -> Document:
        return {**document, "signature": sign(signed_bytes(document), self.key)}


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Operator(tmp_path_factory.mktemp("keys"), "ann")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Operator(tmp_path_factory.mktemp("keys"), "eve")


@pytest.fixture
def trust(tmp_path: Path, operator: Operator) -> Trust:
    """The files of a device that knows the operator."""
    (tmp_path / "conf").mkdir()
    trust = Trust(tmp_path / "conf/allowed_signers", tmp_path / "conf/revoked_signers")
    trust.allowed.write_text(operator.allowed_line())
    return trust


def program(sequence: int = 1, code: str = "def main(): pass", **more: Any) -> Document:
    """A document as HimbeereCouch's users wrote it, with what is asked beyond."""
    return {"_id": "a1", "type": MAC_ID, "name": "tap", "sequence": sequence, "code": code, **more}


def command(*words: str, **more: Any) -> Document:
    return {
        "_id": "c1",
        "type": f"{MAC_ID}_cmd",
        "name": "look",
        "sequence": 1,
        "cmd": list(words),
        "expires": "2100-01-01T00:00:00Z",
        **more,
    }


Make = Callable[..., Document]
