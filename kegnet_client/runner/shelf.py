"""What the runner keeps on disk of each program and command, so that a power cut or a SIGKILL changes nothing.

A program's file holds the documents of the version that is current and of the last one that was good, as they were
signed: they are judged again at each start. A command's file is its intent: it is there before the command starts, and
says for ever after that it has been started.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kegnet_client.host.atomic_file import open_directory, sync_directory, write_file
from kegnet_client.host.regular_file import read_regular
from kegnet_client.runner.couch import Document

_MAX_BYTES = 8 * 1024 * 1024
_log = logging.getLogger(__name__)
_Stored = TypeVar("_Stored")


@dataclass(slots=True)
class StoredProgram:
    """A program; ``broken`` holds the digests of versions that were given up."""

    signer: str
    name: str
    id: str
    current: Document
    good: Document | None = None
    broken: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.signer}\0{self.name}".encode()).hexdigest()[:32]


@dataclass(slots=True)
class StoredCommand:
    """A command that was started. ``result`` is None until it ended, ``is_told`` once the database has it."""

    digest: str
    id: str
    answers_in_place: bool
    expires_ms: int
    result: dict[str, Any] | None = None
    is_told: bool = False


class Shelf:
    """The files in ``directory``, which is made. Raises `OSError`, as all here do."""

    def __init__(self, directory: Path) -> None:
        self._programs, self._commands, self._states = (directory / name for name in ("programs", "commands", "state"))
        for one in (self._programs, self._commands, self._states):
            one.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory)

    def state_of(self, program: StoredProgram) -> Path:
        """The directory of its own that a program has, across its versions."""
        path = self._states / program.key
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def keep_program(self, program: StoredProgram) -> None:
        """Write it down."""
        _write(self._programs, f"{program.key}.json", asdict(program))

    def forget_program(self, program: StoredProgram) -> None:
        """It was deleted; its state stays, for one of the same name that comes later."""
        (self._programs / f"{program.key}.json").unlink(missing_ok=True)
        sync_directory(self._programs)

    def programs(self) -> list[StoredProgram]:
        """All of them; a file that cannot be read is left out, and told."""
        return list(_read_all(self._programs, _read_program))

    def has_command(self, digest: str) -> bool:
        """Whether it was started once."""
        return (self._commands / f"{digest}.json").exists()

    def keep_command(self, command: StoredCommand) -> None:
        """Write it down: before it starts, when it ended, and when that was told."""
        _write(self._commands, f"{command.digest}.json", asdict(command))

    def commands(self) -> list[StoredCommand]:
        """All of them."""
        return list(_read_all(self._commands, _read_command))

    def forget_commands(self, before_ms: int) -> None:
        """Those that were told and had expired ``before_ms``: their document would be refused for that."""
        for command in self.commands():
            if command.is_told and command.expires_ms < before_ms:
                (self._commands / f"{command.digest}.json").unlink(missing_ok=True)


def _write(directory: Path, name: str, values: dict[str, Any]) -> None:
    with open_directory(directory) as fd:
        write_file(fd, name, json.dumps(values).encode(), 0o600)


def _read_all(directory: Path, read: Callable[[object], _Stored]) -> Iterator[_Stored]:
    for path in sorted(directory.glob("*.json")):
        try:
            stored = read(json.loads(read_regular(path, _MAX_BYTES)))
        except (OSError, ValueError, RecursionError) as error:
            _log.error("%s: cannot be read (%s); it is left out", path, error)
            continue
        yield stored


def _read_program(values: object) -> StoredProgram:
    match values:
        case {
            "signer": str(signer),
            "name": str(name),
            "id": str(identifier),
            "current": dict(current),
            "good": None | dict() as good,
            "broken": list(broken),
        } if all(isinstance(one, str) for one in broken):
            return StoredProgram(signer, name, identifier, current, good, broken)
    raise ValueError("it is not what is kept of a program")


def _read_command(values: object) -> StoredCommand:
    match values:
        case {
            "digest": str(digest),
            "id": str(identifier),
            "answers_in_place": bool(answers_in_place),
            "expires_ms": int(expires_ms),
            "result": None | dict() as result,
            "is_told": bool(is_told),
        }:
            return StoredCommand(digest, identifier, answers_in_place, expires_ms, result, is_told)
    raise ValueError("it is not what is kept of a command")


def size_of(directory: Path, most_bytes: int, most_files: int) -> int:
    """How many bytes the files in ``directory`` take on the disk; it stops counting where that is too much already.

    A program may lay out its directory as it likes: in what cannot be looked into is too much.
    """
    total = count = 0
    waiting = [str(directory)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if total > most_bytes or count > most_files:
                        return max(total, most_bytes + 1)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            return most_bytes + 1
    return total
