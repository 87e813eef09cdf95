"""A limit of memory for all processes of a box together, where the service manager has delegated a cgroup for that.

It takes cgroups of version 2, the memory controller (which Raspberry Pi OS leaves off) and a unit with ``Delegate=``.
The runner goes into a group of its own, since a group that has controllers for others holds no processes. Where any
of that is missing, `Groups.problem` says what, and the limits of each process hold as ever.
"""

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
RUNNER = "runner"
BOX = "box-"
_MIB = 1024 * 1024
# The shell puts itself there, so that nothing that it starts was ever elsewhere.
_ENTER = 'echo 0 > "$0/cgroup.procs" && exec "$@"'


class Groups:
    """Those of the runner; made before it starts anything. ``problem`` is empty where boxes are limited by them."""

    def __init__(self, own: Path = OWN, mount: Path = MOUNT) -> None:
        self._number = 0
        self._base: Path | None = None
        try:
            self._base = _set_up(own, mount)
            self._try_out()
            self.problem = ""
        except OSError as error:
            self._base = None
            self.problem = (
                f"memory is limited for each process, not for a program as a whole: {error.strerror or error}"
            )

    def make(self, memory_mib: int, tasks: int) -> Path | None:
        """A group for a box with these limits; None where there is none to be had. Raises `OSError`."""
        if self._base is None:
            return None
        self.sweep()
        self._number += 1
        group = self._base / f"{BOX}{self._number}"
        group.mkdir()
        (group / "memory.max").write_text(str(memory_mib * _MIB))
        (group / "memory.oom.group").write_text("1")
        for name, value in (("memory.swap.max", "0"), ("pids.max", str(tasks))):
            # A kernel without swap or without that controller has no such file.
            if (group / name).exists():
                (group / name).write_text(value)
        return group

    def sweep(self) -> None:
        """Remove the groups of boxes that have ended."""
        for group in self._base.glob(f"{BOX}*") if self._base is not None else ():
            with contextlib.suppress(OSError):  # it is in use
                group.rmdir()

    def _try_out(self) -> None:
        group = self.make(16, 16)
        if group is None:
            return
        done = subprocess.run(enter(group, ["true"]), capture_output=True, check=False)  # noqa: S603 (fixed words)
        self.sweep()
        if done.returncode:
            raise OSError(f"no process can be put into {group}")


def enter(group: Path | None, words: Sequence[str]) -> list[str]:
    """The command ``words`` as one that runs in ``group``."""
    return list(words) if group is None else ["/bin/sh", "-c", _ENTER, str(group), *words]


def _set_up(own: Path, mount: Path) -> Path:
    paths = [line[3:] for line in own.read_text().splitlines() if line.startswith("0::/")]
    if not paths or not (mount / "cgroup.controllers").exists():
        raise OSError(f"{mount} holds no cgroups of version 2")
    base = mount / paths[0].lstrip("/")
    if base.name == RUNNER:  # it begins anew
        base = base.parent
    # Nothing is changed in a group that may be others': a service's own it is only by the name of a unit.
    if base.suffix != ".service":
        raise OSError("this is no service with Delegate=memory")
    if "memory" not in (controllers := (base / "cgroup.controllers").read_text().split()):
        raise OSError("the memory controller is off; on a Raspberry Pi, cgroup_enable=memory in cmdline.txt")
    (base / RUNNER).mkdir(exist_ok=True)
    (base / RUNNER / "cgroup.procs").write_text("0")
    wanted = " ".join(f"+{one}" for one in ("memory", "pids") if one in controllers)
    (base / "cgroup.subtree_control").write_text(wanted)
    return base
