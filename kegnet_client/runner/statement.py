"""What a signed document says, and the bytes that its signature covers; pure.

The signed bytes are RFC 8785's canonical JSON of the document without `UNSIGNED` and without every member that begins
with ``_``: what a database adds or a device answers is not the operator's. All else is covered, also what is not known
here. A document that is not good raises `DocumentError`, and nothing of it is used.
"""

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import rfc8785

from kegnet_client.core.errors import DocumentError
from kegnet_client.runner.gpio import is_gpio_line

NAMESPACE = "kegnet-module"
"""What an operator's key signs for: a signature made for anything else is none."""
UNSIGNED = frozenset({"timestamp", "created_by", "ret", "signature"})
COMMAND_SUFFIX = "_cmd"
EVERYBODY = "all"
BY_TARGETS = ("module", "command")
"""The types of documents that say by ``targets`` alone whose they are."""

MAX_SIGNED_BYTES = 1024 * 1024
MAX_SIGNATURE_BYTES = 16 * 1024
MAX_MODULES = 64
MAX_WORDS = 256
MAX_LINES = 64
MOST_SEQUENCE = 2**53 - 1
DEFAULT_MEMORY_MIB = 128
DEFAULT_COMMAND_S = 60
MOST_SECONDS = 86400

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")
_DEVICE_NODE = re.compile(r"/dev/[A-Za-z0-9][A-Za-z0-9_./-]{0,63}")
_PERMISSIONS = {"network", "spool", "devices", "gpio", "memory_mib", "seconds"}


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a program asks for. ``seconds`` is how long it may run; None for as long as it likes."""

    network: bool = False
    spool: bool = False
    devices: tuple[str, ...] = ()
    gpio: tuple[str, ...] = ()
    """Single lines of GPIO chips, each as ``/dev/gpiochip0:17``."""
    memory_mib: int = DEFAULT_MEMORY_MIB
    seconds: int | None = None

    @property
    def is_shareable(self) -> bool:
        """Whether two programs can have all of it at once."""
        return not self.devices and not self.gpio


@dataclass(frozen=True, slots=True)
class Statement:
    """What a document says, whoever signed it."""

    name: str
    sequence: int
    targets: frozenset[str]
    """The devices it is for, by uuid or by MacID in decimal; `EVERYBODY` stands for all."""
    expires_ms: int | None
    permissions: Permissions
    modules: Mapping[str, str]
    """Source text by the module's name; the one called ``main`` is the program."""
    global_modules: Mapping[str, str]
    command: tuple[str, ...]
    """A program and its arguments; empty for a document that holds modules."""
    answers_in_place: bool
    """Whether the result of the command goes into the document itself, as one device's alone can."""
    signed: bytes
    digest: str
    """SHA-256 of ``signed``, in hexadecimal."""
    signature: bytes

    @property
    def is_program(self) -> bool:
        """Whether there is something in it to run for as long as it stands."""
        return "main" in self.modules


def is_candidate(document: Mapping[str, Any]) -> bool:
    """Whether ``document`` means to be a program or a command, so that a refusal is worth a line."""
    return not str(document.get("_id", "")).startswith("_design/") and bool(
        {"code", "modules", "global_modules", "cmd"} & document.keys()
    )


def signed_bytes(document: Mapping[str, Any]) -> bytes:
    """What the signature of ``document`` covers. Raises `DocumentError` for what JSON cannot say in one way."""
    covered = {name: value for name, value in document.items() if name not in UNSIGNED and not name.startswith("_")}
    try:
        # First by what is fast, since a database may send much more.
        length = len(json.dumps(covered, ensure_ascii=False, separators=(",", ":")))
        data = rfc8785.dumps(covered) if length <= MAX_SIGNED_BYTES else b""
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise DocumentError(f"it has no canonical form: {error}") from None
    length = max(length, len(data))
    if length > MAX_SIGNED_BYTES:
        raise DocumentError(f"it has {length} bytes, the most is {MAX_SIGNED_BYTES}")
    return data


def read_list(document: Mapping[str, Any]) -> frozenset[str]:
    """The devices that the member ``targets`` names."""
    given = document.get("targets")
    targets = [given] if given == EVERYBODY else given
    if not isinstance(targets, list) or not targets or len(targets) > MAX_SIGNED_BYTES:
        raise DocumentError('its targets are missing or no list of devices, nor the word "all"')
    return frozenset(_device(target) for target in targets)


def read_sequence(document: Mapping[str, Any]) -> int:
    """Which of several documents of one name is the newest."""
    return _whole(document.get("sequence"), "sequence", MOST_SEQUENCE)


def read_targets(document: Mapping[str, Any]) -> frozenset[str]:
    """Whom ``document`` says that it is for; all else of it, and all that costs time, is left alone."""
    return _targets(document, is_command="cmd" in document)


def is_for(targets: frozenset[str], device: frozenset[str]) -> bool:
    """Whether the ``targets`` of a document are, or have among them, the device of these names."""
    return EVERYBODY in targets or bool(targets & device)


def read_signature(document: Mapping[str, Any]) -> bytes:
    """The signature of ``document``, whatever it is worth."""
    signature = document.get("signature")
    if not isinstance(signature, str) or not signature:
        raise DocumentError("it is not signed")
    if len(signature) > MAX_SIGNATURE_BYTES or not signature.isascii():
        raise DocumentError("its signature is none of ssh-keygen's")
    return signature.encode("ascii")


def read_statement(document: Mapping[str, Any]) -> Statement:
    """What the signed ``document`` says. Raises `DocumentError`; whether the signature holds is not looked at."""
    return _read(document, read_signature(document))


def read_unsigned(document: Mapping[str, Any]) -> Statement:
    """The same of a document that is about to be signed, so that no other one ever is."""
    return _read(document, b"")


def _read(document: Mapping[str, Any], signature: bytes) -> Statement:
    if document.get("_attachments"):
        raise DocumentError("it has attachments, which no signature covers")
    signed = signed_bytes(document)
    command = _command(document)
    modules, global_modules = _modules(document, "modules"), _modules(document, "global_modules")
    if "code" in document:
        modules["main"] = _text(document["code"], "code")
    if command and (modules or global_modules):
        raise DocumentError("it holds a command and modules; write two documents")
    if not command and not modules and not global_modules:
        raise DocumentError("it holds neither code nor a command")
    expires_ms = read_expires_ms(document)
    if command and expires_ms is None:
        raise DocumentError("a command needs expires, so that it does not run once more in a year")
    name = _text(document.get("name"), "name")
    if not _NAME.fullmatch(name):
        raise DocumentError("its name is not of letters, digits, space, . _ and -, 64 at most")
    return Statement(
        name=name,
        sequence=read_sequence(document),
        targets=_targets(document, is_command=bool(command)),
        expires_ms=expires_ms,
        permissions=_permissions(document, is_command=bool(command)),
        modules=modules,
        global_modules=global_modules,
        command=command,
        answers_in_place=bool(command) and document.get("type") not in BY_TARGETS,
        signed=signed,
        digest=hashlib.sha256(signed).hexdigest(),
        signature=signature,
    )


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise DocumentError(f"its {what} is missing or no text")
    return value


def _whole(value: object, what: str, most: int) -> int:
    # JSON's true is Python's 1, and a database may give 3 back as 3.0.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise DocumentError(f"its {what} is missing or no whole number from 1 to {most}")
    return value


def _targets(document: Mapping[str, Any], *, is_command: bool) -> frozenset[str]:
    kind = document.get("type")
    if kind in BY_TARGETS:
        if kind != BY_TARGETS[is_command]:
            raise DocumentError(f"its type is {kind}, which it does not hold")
        return read_list(document)
    if "targets" in document:
        raise DocumentError(f'it has targets: its type is "{BY_TARGETS[is_command]}" then')
    if is_command:
        text = _text(kind, "type")
        if not text.endswith(COMMAND_SUFFIX):
            raise DocumentError(f"its type does not end with {COMMAND_SUFFIX}, as a command's does")
        return frozenset({_device(text.removesuffix(COMMAND_SUFFIX))})
    return frozenset({_device(kind)})


def _device(value: object) -> str:
    if isinstance(value, str) and value:
        return value.lower()
    return str(_whole(value, "addressee", 2**48 - 1))


def _command(document: Mapping[str, Any]) -> tuple[str, ...]:
    if "cmd" not in document:
        return ()
    words = document["cmd"]
    if not isinstance(words, list) or not 1 <= len(words) <= MAX_WORDS:
        raise DocumentError(f"its cmd is no list of 1 to {MAX_WORDS} words")
    if not words[0] or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise DocumentError("its cmd holds something that is no word")
    return tuple(words)


def _modules(document: Mapping[str, Any], member: str) -> dict[str, str]:
    modules = document.get(member, {})
    if not isinstance(modules, dict) or len(modules) > MAX_MODULES:
        raise DocumentError(f"its {member} are no object of {MAX_MODULES} members at most")
    for name, source in modules.items():
        if not name.isidentifier() or name in sys.stdlib_module_names or name == "kegnet_module":
            raise DocumentError(f"its {member} hold {name[:60]!a}, which no module of its own can be called")
        if not isinstance(source, str):
            raise DocumentError(f"its module {name[:60]} is no text")
    return dict(modules)


def read_expires_ms(document: Mapping[str, Any]) -> int | None:
    """When ``document`` ends; None for never."""
    if "expires" not in document:
        return None
    try:
        at = datetime.fromisoformat(_text(document["expires"], "expires"))
        return int(at.timestamp() * 1000) if at.tzinfo is not None else _refuse_time()
    except (ValueError, OverflowError):
        return _refuse_time()


def _refuse_time() -> NoReturn:
    raise DocumentError("its expires is no time with its zone, such as 2027-01-31T12:00:00Z")


def _permissions(document: Mapping[str, Any], *, is_command: bool) -> Permissions:
    given = document.get("permissions", {})
    if not isinstance(given, dict):
        raise DocumentError("its permissions are no object")
    if unknown := sorted(given.keys() - _PERMISSIONS):
        raise DocumentError(f"it asks for the permission {unknown[0][:60]!a}, which is not known here")
    for word in ("network", "spool"):
        if not isinstance(given.get(word, False), bool):
            raise DocumentError(f"its permission {word} is neither true nor false")
    devices = given.get("devices", [])
    if not isinstance(devices, list) or not all(_is_device_node(one) for one in devices):
        raise DocumentError("its permission devices is no list of paths such as /dev/ttyUSB0")
    lines = given.get("gpio", [])
    if not isinstance(lines, list) or len(lines) > MAX_LINES or not all(map(is_gpio_line, lines)):
        raise DocumentError(f"its permission gpio is no list of {MAX_LINES} lines at most, such as /dev/gpiochip0:17")
    if len(set(lines)) < len(lines):
        raise DocumentError("its permission gpio has a line twice")
    seconds = given.get("seconds", DEFAULT_COMMAND_S if is_command else None)
    return Permissions(
        network=given.get("network", False),
        spool=given.get("spool", False),
        devices=tuple(devices),
        gpio=tuple(lines),
        memory_mib=_whole(given.get("memory_mib", DEFAULT_MEMORY_MIB), "permission memory_mib", 1024 * 1024),
        seconds=None if seconds is None else _whole(seconds, "permission seconds", MOST_SECONDS),
    )


def _is_device_node(value: object) -> bool:
    return isinstance(value, str) and _DEVICE_NODE.fullmatch(value) is not None and ".." not in value.split("/")
