"""The operator's side: documents made of files, signed, and put into the database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kegnet_client.core.errors import DocumentError, UsageError
from kegnet_client.host.regular_file import read_regular
from kegnet_client.runner.announcement import KIND, read_announcement
from kegnet_client.runner.couch import Document
from kegnet_client.runner.statement import BY_TARGETS, EVERYBODY, MAX_SIGNED_BYTES, read_unsigned, signed_bytes
from kegnet_client.runner.trust import sign


@dataclass(frozen=True, slots=True)
class Address:
    """What the operator says beside the code. None where the document is to say it, or nothing."""

    name: str | None
    sequence: int | None
    targets: Sequence[str]
    expires_ms: int | None
    permissions: Mapping[str, Any]


def compose_program(source: Path, address: Address, now_ms: int) -> Document:
    """The document of a directory of modules, of one file of Python, or one that is written already (.json)."""
    try:
        document = _read_source(source)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{source}: cannot be read: {error}") from None
    document.setdefault("name", source.stem)
    _address(document, address, BY_TARGETS[False], now_ms)
    document.setdefault("_id", document["name"])
    return document


def compose_command(words: Sequence[str], address: Address, now_ms: int) -> Document:
    """The document of a command; its ``_id`` is made of what it says."""
    document: Document = {"name": words[0].rpartition("/")[2] or "command", "cmd": list(words)}
    _address(document, address, BY_TARGETS[True], now_ms)
    document["_id"] = f"command-{read_unsigned(document).digest[:24]}"
    return document


def compose_announcement(server: str, targets: Sequence[str], expires_ms: int, now_ms: int) -> Document:
    """The document that tells devices which server has their programs."""
    document: Document = {"server": server}
    _address(document, Address(None, None, targets or [EVERYBODY], expires_ms, {}), KIND, now_ms)
    return document


def sign_document(document: Document, key: Path) -> Document:
    """``document`` with its signature, once it is sure that it says what a device will take. Raises `DocumentError`."""
    try:
        if document.get("type") == KIND:
            read_announcement(document)
        else:
            read_unsigned(document)
    except DocumentError as error:
        raise DocumentError(f"this document would be refused: {error}") from None
    return {**document, "signature": sign(signed_bytes(document), key)}


def _read_source(source: Path) -> Document:
    if source.is_dir():
        files = sorted(source.glob("*.py"))
        if not files:
            raise ValueError("no .py file is in it")
        return {"modules": {file.stem: _read_text(file) for file in files}}
    if source.suffix != ".json":
        return {"code": _read_text(source)}
    document = json.loads(_read_text(source))
    if not isinstance(document, dict):
        raise ValueError("it holds no object")
    return {name: value for name, value in document.items() if name not in ("signature", "_rev")}


def _read_text(file: Path) -> str:
    return read_regular(file, MAX_SIGNED_BYTES).decode("utf-8")


def _address(document: Document, address: Address, kind: str, now_ms: int) -> None:
    if address.name is not None:
        document["name"] = address.name
    if address.sequence is not None or "sequence" not in document:
        # Of two equal commands within a second each is one of its own.
        now = now_ms // 1000 if kind == BY_TARGETS[False] else now_ms
        document["sequence"] = now if address.sequence is None else address.sequence
    if address.targets:
        document["type"] = kind
        document["targets"] = EVERYBODY if EVERYBODY in address.targets else [_target(one) for one in address.targets]
    if address.expires_ms is not None:
        at = datetime.fromtimestamp(address.expires_ms / 1000, UTC)
        document["expires"] = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    if address.permissions:
        document["permissions"] = {**document.get("permissions", {}), **address.permissions}


def _target(text: str) -> str | int:
    is_mac_id = text.isascii() and text.isdecimal() and len(text) <= len(str(2**48))
    return int(text) if is_mac_id else text
