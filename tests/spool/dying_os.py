"""The module `os` for code that is to die, or whose disk is to lose its power, after each of its steps."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from disk import Operation
from kegnet_client.host import atomic_file
from kegnet_client.spool import directory, fan_out, own_directory

STEPS = ("open", "mkdir", "write", "utime", "fsync", "rename", "link", "unlink", "scandir", "chown", "fchown")
OF_FAN_OUT = (fan_out, own_directory, directory, atomic_file)


class Dead(BaseException):
    """The process is over: nothing that is left of it may change anything."""


class DyingOs:
    """Does what `os` does for ``steps`` steps. ``told`` hears of each that changed something below ``root``."""

    def __init__(self, root: Path, steps: int | None = None, told: Callable[[Operation], object] | None = None) -> None:
        self.count = 0
        self._root = root
        self._steps = steps
        self._told = told

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in STEPS:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            if self._steps is not None and self.count >= self._steps:
                raise Dead
            self.count += 1
            operation = self._describe(name, arguments, options)
            result = real(*arguments, **options)
            if self._told is not None and operation is not None:
                call_name, paths, data, flags = operation
                fd = result if name == "open" else arguments[0] if isinstance(arguments[0], int) else -1
                self._told(Operation(call_name, 0.0, fd, paths, bytes(data), flags))
            return result

        return call

    def _describe(
        self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[str, tuple[str, ...], bytes, str] | None:
        def at(path: str, key: str = "dir_fd") -> str:
            directory_fd = options.get(key)
            base = self._root if directory_fd is None else _path_of(directory_fd)
            return os.path.relpath(base / path, self._root)

        match name:
            case "open":
                return "openat", (at(arguments[0]),), b"", "O_CREAT" if arguments[1] & os.O_CREAT else ""
            case "mkdir" | "unlink":
                return name, (at(arguments[0]),), b"", ""
            case "rename" | "link":
                return name, (at(arguments[0], "src_dir_fd"), at(arguments[1], "dst_dir_fd")), b"", ""
            case "write" | "fsync":
                path = os.path.relpath(_path_of(arguments[0]), self._root)
                return name, (path,), arguments[1] if name == "write" else b"", ""
            case _:
                return None


def _path_of(fd: int) -> Path:
    return Path(f"/proc/self/fd/{fd}").readlink()


@contextmanager
def in_place_of_os(fake: DyingOs, modules: Collection[ModuleType] = OF_FAN_OUT) -> Iterator[None]:
    """What the ``modules`` do goes through ``fake``."""
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "os", fake))
        yield


def die_after(steps: int, root: Path, work: Callable[[], object]) -> bool:
    """Whether ``work`` was over before it had done so many steps."""
    with in_place_of_os(DyingOs(root, steps)):
        try:
            work()
        except Dead:
            return False
    return True
