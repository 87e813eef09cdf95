"""What a power cut may leave of a directory, by the rules of ext4 as it is mounted by default.

strace records what a program did below ``root``; `Disk` plays that and tells, after each operation, the states
that a cut at that moment may leave:

- Operations on names are atomic and journalled. Ordered: those up to some point since the last fsync happened,
  the later ones did not, and an fsync of anything settles all before it. Unordered, which ext4 does not do but
  POSIX allows: any of those happened whose directory was not synced since.
- Bytes count only after an fsync of their file. Until then the file may be whole, empty, half, or as long as it
  should be and all zeros. That ext4 flushes a file that is renamed over another is not relied on.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from random import Random

CALLS = (
    "openat,open,creat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "mkdir,mkdirat,close,ftruncate"
)
STRACE = ("-xx", "-s", "65536", "-e", f"trace={CALLS}")
UNORDERED_TRIES = 4

State = dict[str, bytes | None]
"""Each path's bytes; None for a directory."""

_LINE = re.compile(rb"^(\d+) +([\d.]+) (?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$", re.S)
_ARGUMENT = re.compile(rb'(?:(AT_FDCWD|\d+)<((?:\\x..)*)>|"((?:\\x..)*)"|([^,"<>() ]+))')
_HEX = re.compile(rb"\\x(..)")


@dataclass(frozen=True, slots=True)
class Operation:
    """One system call that succeeded; paths hang from the root, and what is outside of it is absolute."""

    call: str
    at_s: float
    fd: int
    paths: tuple[str, ...]
    data: bytes = b""
    flags: str = ""


def read_trace(trace: bytes, root: Path) -> Iterator[Operation]:
    """What was done, in the order in which it was."""
    begun: dict[bytes, bytes] = {}
    for line in trace.splitlines():
        if not (match := _LINE.match(line)):
            continue
        pid, at_s, resumed, call, rest = match.groups()
        if rest.endswith(b"<unfinished ...>"):
            begun[pid] = rest.removesuffix(b"<unfinished ...>")
            continue
        if resumed:
            rest = begun.pop(pid) + rest
        arguments, _, result = rest.rpartition(b" = ")
        if result.startswith((b"-1", b"?")):
            continue
        yield _operation((resumed or call).decode(), float(at_s), arguments, result, root)


def _operation(call: str, at_s: float, arguments: bytes, result: bytes, root: Path) -> Operation:
    fds: list[int] = []
    directories: list[str] = []
    paths: list[str] = []
    texts: list[bytes] = []
    for fd, directory, text, _ in _ARGUMENT.findall(arguments):
        if fd:
            fds.append(-1 if fd == b"AT_FDCWD" else int(fd))
            directories.append(os.fsdecode(_unhex(directory)))
        elif text:
            texts.append(_unhex(text))
            base = directories[-1] if directories else "/"
            paths.append(_below(str(PurePosixPath(base) / os.fsdecode(texts[-1])), root))
    writes = call in ("write", "pwrite64")
    if writes or call in ("fsync", "fdatasync", "close", "ftruncate"):
        paths = [_below(directories[0], root)] if directories else [""]
    number = result.split(b"<")[0].strip()
    fd = int(number) if call in ("openat", "open", "creat") else (fds[0] if fds else -1)
    data = texts[0][: int(number)] if writes and texts else b""
    return Operation(call, at_s, fd, tuple(paths), data, arguments.decode("ascii", "replace"))


def _unhex(text: bytes) -> bytes:
    return _HEX.sub(lambda match: bytes([int(match[1], 16)]), text)


def _below(path: str, root: Path) -> str:
    try:
        return str(PurePosixPath(path).relative_to(root))
    except ValueError:
        return path if path.startswith("/") else f"/{path}"  # what is no file has no directory: pipe:[17]


@dataclass(slots=True)
class _Node:
    """A file's bytes, and those that are on the disk."""

    data: bytes = b""
    durable: bytes = b""


@dataclass(slots=True)
class _Change:
    """One operation on names; ``node`` is None for a directory."""

    kind: str
    paths: tuple[str, ...]
    node: _Node | None
    settled: bool = False


@dataclass(slots=True)
class Disk:
    """A directory that holds ``files``, all of them durable."""

    files: dict[str, bytes]
    _names: dict[str, _Node | None] = field(default_factory=dict)
    _first: dict[str, _Node | None] = field(default_factory=dict)
    _changes: list[_Change] = field(default_factory=list)
    _committed: int = 0
    _open: dict[int, _Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._first = {path: _Node(data, data) for path, data in self.files.items()}
        self._names = dict(self._first)

    def apply(self, operation: Operation) -> bool:
        """Whether that changed anything here."""
        call, paths = operation.call, operation.paths
        if any(path.startswith("/") for path in paths):
            self._open.pop(operation.fd, None)
            return False
        match call:
            case "openat" | "open" | "creat":
                return self._opened(operation)
            case "write" | "pwrite64":
                node = self._open.get(operation.fd)
                if node is None:
                    return False
                node.data += operation.data
            case "ftruncate":
                raise NotImplementedError("nothing here truncates")
            case "fsync" | "fdatasync":
                self._sync(operation)
            case "rename" | "renameat" | "renameat2":
                self._change("rename", paths, self._names[paths[0]])
            case "link" | "linkat":
                self._change("link", paths, self._names[paths[0]])
            case "unlink" | "unlinkat":
                self._change("unlink", paths, self._names[paths[0]])
            case "mkdir" | "mkdirat":
                self._change("mkdir", paths, None)
            case _:
                self._open.pop(operation.fd, None)
                return False
        return True

    def names(self) -> set[str]:
        """What stands there when nothing goes wrong."""
        return set(self._names)

    def states(self, chance: Random) -> Iterator[State]:
        """What a power cut may leave now."""
        pending = self._changes[self._committed :]
        settled = self._changes[: self._committed]
        for count in range(len(pending) + 1):
            yield from self._contents(settled + pending[:count], chance)
        loose = [change for change in self._changes if not change.settled]
        for _ in range(min(UNORDERED_TRIES, len(loose))):
            left_out = set(map(id, chance.sample(loose, chance.randrange(1, len(loose) + 1))))
            yield from self._contents([change for change in self._changes if id(change) not in left_out], chance)

    def _opened(self, operation: Operation) -> bool:
        path = operation.paths[0]
        is_new = path not in self._names and "O_CREAT" in operation.flags
        if is_new:
            self._change("create", (path,), _Node())
        node = self._names.get(path)
        if node is None:
            self._open.pop(operation.fd, None)
            return False
        self._open[operation.fd] = node
        if "O_TRUNC" in operation.flags:
            node.data = b""
            return True
        return is_new

    def _change(self, kind: str, paths: tuple[str, ...], node: _Node | None) -> None:
        change = _Change(kind, paths, node)
        self._changes.append(change)
        _carry_out(change, self._names)

    def _sync(self, operation: Operation) -> None:
        self._committed = len(self._changes)
        if node := self._open.get(operation.fd):
            node.durable = node.data
            return
        directory = operation.paths[0]
        synced = [change for change in self._changes if any(_parent(path) == directory for path in change.paths)]
        nodes = {id(change.node) for change in synced if change.node}
        for change in self._changes:
            # What a settled change needed is settled, too.
            change.settled |= change in synced or id(change.node) in nodes

    def _contents(self, changes: list[_Change], chance: Random) -> Iterator[State]:
        names = dict(self._first)
        for change in changes:
            _carry_out(change, names)
        dirty = [node for node in names.values() if node and node.data != node.durable]
        variants = ("whole", "empty", "zeros", "half") if dirty else ("whole",)
        for variant in variants:
            yield {path: _content(node, variant) for path, node in names.items()}
        if len(dirty) > 1:
            drawn = {id(node): chance.choice(variants) for node in dirty}
            yield {path: _content(node, drawn.get(id(node), "whole")) for path, node in names.items()}


def _carry_out(change: _Change, names: dict[str, _Node | None]) -> None:
    """As far as it goes: what never came cannot be renamed, nothing stands in a directory that is missing."""
    source, target = change.paths[0], change.paths[-1]
    parent = _parent(target)
    if parent != "." and parent not in names:
        return
    match change.kind:
        case "create" | "mkdir":
            names[source] = change.node
        case "rename" if names.get(source) is change.node and source in names:
            names[target] = names.pop(source)
        case "link" if names.get(source) is change.node and source in names:
            names[target] = names[source]
        case "unlink" if names.get(source) is change.node:
            names.pop(source, None)


def _content(node: _Node | None, variant: str) -> bytes | None:
    if node is None:
        return None
    if node.data == node.durable:
        return node.data
    match variant:
        case "empty":
            return node.durable
        case "zeros":
            return b"\0" * len(node.data)
        case "half":
            return node.data[: len(node.data) // 2]
        case _:
            return node.data


def _parent(path: str) -> str:
    return str(PurePosixPath(path).parent)
