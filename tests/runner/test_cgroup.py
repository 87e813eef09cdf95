"""Limits of a box as a whole: what is written where there is a delegated cgroup, and what is said where there is none.

No machine of these tests has the memory controller in cgroups of version 2: its files are a tree of plain ones here.
That a process is in its group from its first moment is tried with the kernel's own.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kegnet_client.runner.box import Boxes
from kegnet_client.runner.cgroup import RUNNER, Groups, enter
from kegnet_client.runner.statement import Permissions

SERVICE = "system.slice/kegnet-runner.service"


class Tree:
    """As /sys/fs/cgroup looks to a service; ``own`` is its /proc/self/cgroup."""

    def __init__(self, directory: Path, controllers: str = "cpu memory pids", service: str = SERVICE) -> None:
        self.mount, self.own = directory / "cgroup", directory / "own"
        self.base = self.mount / service
        (self.base / RUNNER).mkdir(parents=True)
        (self.mount / "cgroup.controllers").write_text(controllers)
        (self.base / "cgroup.controllers").write_text(controllers)
        self.own.write_text(f"1:name=systemd:/x\n0::/{service}\n")

    def groups(self) -> Groups:
        return Groups(self.own, self.mount)


def test_a_box_is_limited_as_a_whole_where_memory_is_delegated(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    groups = tree.groups()
    assert groups.problem == ""
    assert (tree.base / RUNNER / "cgroup.procs").read_text() == "0"
    assert (tree.base / "cgroup.subtree_control").read_text() == "+memory +pids"
    group = groups.make(64, 10)
    assert group is not None
    assert (group / "memory.max").read_text() == str(64 * 1024 * 1024)
    assert (group / "memory.oom.group").read_text() == "1"


@pytest.mark.process
def test_a_program_starts_in_the_group_of_its_box(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tmp_path / "state").mkdir()
    boxes = Boxes((tmp_path / "root",), tmp_path / "spool", groups=tree.groups())
    box = boxes.start({"main": "def main(): log('in')"}, (), Permissions(memory_mib=64), tmp_path / "state")
    out, _ = box.process.communicate(timeout=60)
    box.close()
    assert out == b"in\n"
    (group,) = [one for one in tree.base.glob("box-*") if (one / "memory.max").read_text() == str(64 * 1024 * 1024)]
    assert (group / "cgroup.procs").read_text() == "0\n"


@pytest.mark.parametrize(
    ("controllers", "service", "said"),
    [
        ("cpu pids", SERVICE, "the memory controller is off"),
        ("memory", "user.slice/session-1.scope", "no service with"),
    ],
)
def test_without_memory_or_a_service_it_is_said_and_nothing_is_changed(
    controllers: str, service: str, said: str, tmp_path: Path
) -> None:
    tree = Tree(tmp_path, controllers, service)
    groups = tree.groups()
    assert "memory is limited for each process, not for a program as a whole" in groups.problem
    assert said in groups.problem
    assert groups.make(64, 10) is None
    assert not (tree.base / "cgroup.subtree_control").exists()


def test_without_cgroups_of_version_2_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("4:memory:/x\n0::/\n")
    assert "holds no cgroups of version 2" in Groups(tmp_path / "own", tmp_path).problem
    assert "No such file" in Groups(tmp_path / "none", tmp_path).problem


def test_a_group_that_nobody_can_be_put_into_is_a_reason_to_do_without(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tree.base / "box-1").mkdir()
    (tree.base / "box-1/cgroup.procs").mkdir()
    assert "File exists" in tree.groups().problem


def test_a_runner_that_begins_anew_finds_its_service_again(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.own.write_text(f"0::/{SERVICE}/{RUNNER}\n")
    assert tree.groups().problem == ""
    assert not (tree.base / RUNNER / RUNNER).exists()


@pytest.fixture
def kernels(tmp_path: Path) -> Iterator[Path]:
    """The kernel's own tree, with a group of ours."""
    mount = tmp_path / "kernels"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "cgroup2", "none", mount], capture_output=True, check=False).returncode:
        pytest.skip("takes root, and cgroups of version 2")
    group = mount / f"kegnet-test-{os.getpid()}"
    try:
        group.mkdir()
        yield group
        group.rmdir()
    finally:
        subprocess.run(["umount", mount], check=True)


def test_the_kernel_has_a_process_in_its_group_from_its_first_moment(kernels: Path) -> None:
    done = subprocess.run(enter(kernels, ["cat", "/proc/self/cgroup"]), capture_output=True, text=True, check=True)
    assert f"0::/{kernels.name}\n" in done.stdout


def test_a_program_whose_group_is_gone_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(enter(tmp_path / "gone", ["echo", "started"]), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
