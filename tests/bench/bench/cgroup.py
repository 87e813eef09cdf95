"""A machine that is smaller than this one: a cgroup with a tenth of a core and 128 MB, for as long as it takes."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
QUOTA_US = 10_000
MEMORY_BYTES = 128 * 2**20


@contextmanager
def small_machine() -> Iterator[list[str] | None]:
    """What to put before a command so that it runs there; None where there can be none."""
    if os.getuid() != 0:
        yield None
        return
    name = f"kegnet-bench-{os.getpid()}"
    with ExitStack() as made:
        try:
            tasks = [_make(made, directory / name, limits) for directory, limits in _places()]
        except OSError:
            tasks = []
        yield ["sh", "-c", f'{"".join(f"echo $$ > {one}; " for one in tasks)} exec "$@"', "sh"] if tasks else None


def _places() -> list[tuple[Path, dict[str, str]]]:
    """Where groups are made, and the limits to write there; version 1 has a tree for each resource."""
    if (ROOT / "cgroup.controllers").exists():
        (ROOT / "cgroup.subtree_control").write_text("+cpu +memory")
        return [(ROOT, {"cpu.max": f"{QUOTA_US} {PERIOD_US}", "memory.max": str(MEMORY_BYTES)})]
    return [
        (ROOT / "cpu", {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(QUOTA_US)}),
        (ROOT / "memory", {"memory.limit_in_bytes": str(MEMORY_BYTES)}),
    ]


def _make(made: ExitStack, group: Path, limits: dict[str, str]) -> Path:
    group.mkdir()
    made.callback(group.rmdir)
    for name, value in limits.items():
        (group / name).write_text(value)
    return group / "cgroup.procs"
