"""Operators with real SSH keys, and the documents that they sign."""

import subprocess
from pathlib import Path
from typing import Any

from kegnet_client.runner.statement import NAMESPACE, signed_bytes
from kegnet_client.runner.trust import sign

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


def program(sequence: int = 1, code: str = "def main(): pass", **more: Any) -> Document:
    """A document as HimbeereCouch's users wrote it, with what is asked beyond."""
    return {"_id": "a1", "type": MAC_ID, "name": "tap", "sequence": sequence, "code": code, **more}


def command(*words: str, **more: Any) -> Document:
    """The same for a command."""
    return {
        "_id": "c1",
        "type": f"{MAC_ID}_cmd",
        "name": "look",
        "sequence": 1,
        "cmd": list(words),
        "expires": "2100-01-01T00:00:00Z",
        **more,
    }
