"""The box that a program runs in: bubblewrap, with nothing in it that was not granted.

A box sees a read-only system, without this device's configuration, key and spool and without the runner's own
directory; it has a /tmp of its own, one directory for its state, no network and no device. It cannot gain privileges,
nor make namespaces of its own where the kernel's limits may be set, and it dies with the thread that started it.
Memory, processes and files are limited by the first program inside, for each process; where a cgroup is to be had, it
limits memory and processes of all of them together.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import kegnet_client
from kegnet_client.core.errors import RunnerError
from kegnet_client.runner import inside
from kegnet_client.runner.cgroup import Groups, enter
from kegnet_client.runner.gpio import request_line
from kegnet_client.runner.statement import Permissions

MAX_TASKS = 64
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_OPEN_FILES = 256
SET_UP_S = 5.0
"""After that bubblewrap has done all its work, on the slowest of machines."""
TMP_BYTES = 16 * 1024 * 1024
STATE = "/var/lib/kegnet-module"
SPOOL = "/spool"
_MIB = 1024 * 1024
_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC = (
    "alternatives",
    "ca-certificates",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "nsswitch.conf",
    "passwd",
    "resolv.conf",
    "ssl",
)


class Box:
    """A box that was started; `process` is bubblewrap, which ends as the program in it does."""

    def __init__(self, process: "subprocess.Popen[bytes]", life_fd: int) -> None:
        self.process = process
        self._started_s = time.monotonic()
        self._life_fd = life_fd

    def kill(self) -> None:
        """End it and all in it; again later if it does not, since a program may keep that from working at first.

        bubblewrap itself is killed only once it is set up: before, that would leave its other half behind.
        """
        self.close()
        if time.monotonic() - self._started_s > SET_UP_S:
            self.process.kill()

    def close(self) -> None:
        """Give up what keeps it alive."""
        if self._life_fd >= 0:
            os.close(self._life_fd)
            self._life_fd = -1


@dataclass(frozen=True, slots=True)
class Boxes:
    """How boxes are made here: without the ``hidden`` directories, with this ``spool`` for those that may."""

    hidden: tuple[Path, ...]
    spool: Path
    forbids_namespaces: bool = True
    """Whether programs are kept from making namespaces; see `can_forbid_namespaces`."""
    groups: Groups | None = None
    """What limits a box as a whole; None for nothing."""

    def start(
        self,
        modules: Mapping[str, str],
        command: Sequence[str],
        permissions: Permissions,
        state: Path | None,
    ) -> Box:
        """Start it; stdin's end asks it to quit. stderr goes with stdout, but for a command.

        Raises `RunnerError`. It dies with the calling thread.
        """
        lines: dict[str, int] = {}
        try:
            for name in permissions.gpio:
                lines[name] = request_line(name)
            return self._start(modules, command, permissions, state, lines)
        finally:
            for line_fd in lines.values():
                os.close(line_fd)

    def _start(
        self,
        modules: Mapping[str, str],
        command: Sequence[str],
        permissions: Permissions,
        state: Path | None,
        lines: Mapping[str, int],
    ) -> Box:
        fd = os.memfd_create("job")
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        job = {
            "modules": dict(modules),
            "command": list(command),
            "limits": _limits(permissions),
            "life_fd": theirs,
        }
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(json.dumps(job).encode())
            os.lseek(fd, 0, os.SEEK_SET)
            words = [*self._arguments(permissions, state, lines, fd), sys.executable, "-I", inside.__file__]
            # bubblewrap's own processes count, too.
            group = self.groups.make(permissions.memory_mib, MAX_TASKS + 4) if self.groups is not None else None
            process = subprocess.Popen(  # noqa: S603 (what runs in it was signed)
                enter(group, words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if command else subprocess.STDOUT,
                pass_fds=(fd, theirs, *lines.values()),
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                bufsize=0,
            )
        except OSError as error:
            os.close(ours)
            raise RunnerError(f"the box could not be started: {error}") from None
        finally:
            os.close(fd)
            os.close(theirs)
        return Box(process, ours)

    def _arguments(
        self, permissions: Permissions, state: Path | None, lines: Mapping[str, int], job_fd: int
    ) -> list[str]:
        words = [find_bubblewrap(), "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
        words += ["--unshare-user", "--cap-drop", "ALL"]
        if self.forbids_namespaces:
            words.append("--disable-userns")
        if permissions.network:
            words.append("--share-net")
        # A /tmp of its own, and in it this Python where that stands there.
        words += ["--size", str(TMP_BYTES), "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
        words += self._system()
        words += ["--proc", "/proc", "--dev", "/dev", "--size", str(_MIB), "--tmpfs", "/dev/shm"]  # noqa: S108
        words += ["--ro-bind-data", str(job_fd), inside.JOB]
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "PYTHONUNBUFFERED": "1"}  # noqa: S108
        if state is not None:
            words += ["--bind", str(state), STATE, "--chdir", STATE]
            environment |= {"KEGNET_STATE": STATE, "HOME": STATE}
        if permissions.spool:
            words += ["--bind", str(self.spool), SPOOL]
            environment["KEGNET_SPOOL"] = SPOOL
        if lines:
            environment[inside.LINES] = json.dumps(dict(lines))
        for device in permissions.devices:
            words += ["--dev-bind", device, device]
        for name, value in environment.items():
            words += ["--setenv", name, value]
        return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--"]

    def _system(self) -> list[str]:
        """What every box sees: the system, and this Python."""
        words = ["--ro-bind", "/usr", "/usr"]
        for name in _LINKS:
            path = Path("/", name)
            if path.is_symlink():
                words += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                words += ["--ro-bind", str(path), str(path)]
        for name in _ETC:
            words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for directory in self.hidden:
            if directory.is_relative_to("/usr") and directory.is_dir():
                words += ["--size", "4096", "--tmpfs", str(directory)]
        package = Path(kegnet_client.__file__).parent
        for needed in dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix), package)):
            is_there = needed.is_relative_to("/usr") and not any(map(needed.is_relative_to, self.hidden))
            if not is_there:
                words += ["--ro-bind", str(needed), str(needed)]
        return words


def find_bubblewrap() -> str:
    """Where the program is: without it nothing runs. Raises `RunnerError`."""
    program = shutil.which("bwrap")
    if program is None:
        raise RunnerError("bubblewrap is not here, and nothing runs without it: apt-get install bubblewrap")
    return program


def can_forbid_namespaces() -> bool:
    """Whether a box here can keep its program from making namespaces: not where /proc/sys is read-only."""
    words = [find_bubblewrap(), "--unshare-all", "--unshare-user", "--disable-userns", "--ro-bind", "/", "/", "true"]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 (fixed words)
    return done.returncode == 0


def _limits(permissions: Permissions) -> dict[str, int]:
    return {
        "RLIMIT_CORE": 0,
        "RLIMIT_NPROC": MAX_TASKS,
        "RLIMIT_AS": permissions.memory_mib * _MIB,
        "RLIMIT_FSIZE": MAX_FILE_BYTES,
        "RLIMIT_NOFILE": MAX_OPEN_FILES,
    }
