"""What becomes of a command's output, and of a disk that takes nothing."""

import os
import subprocess

import pytest

from ..support.device import Device

POUR = ("pour", "--pin", "3", "--pulses", "586", "--elapsed-ms", "8123")


def test_a_reader_who_has_seen_enough_is_no_fault(device: Device) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = device.start("status", stdout=writer)
    os.close(writer)
    assert program.process.wait(20) == 0
    assert program.log.lines() == []


@pytest.mark.parametrize("output", [">/dev/full", ">&-", ">&- 2>&-"])
def test_a_pour_that_stands_in_the_spool_is_done_though_its_path_cannot_be_told(device: Device, output: str) -> None:
    program = device.start(*POUR, before=("sh", "-c", f'exec "$0" "$@" {output}'))
    assert program.process.wait(20) == 0
    assert len(list(device.spool.iterdir())) == 1
    assert program.log.lines() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("ro", "Read-only file system; make the file system writable again (mount -o remount,rw)"),
        ("nr_inodes=1", "No space left on device; make room on the disk"),
    ],
)
def test_a_disk_that_takes_nothing_ends_a_pour_with_75_and_what_to_do(
    device: Device, options: str, message: str
) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a disk of one's own takes root")
    mount = 'mount -t tmpfs -o "$0" tmpfs "$KEGNET_ROOT/spool" && exec "$@"'
    program = device.start(*POUR, before=("unshare", "-m", "sh", "-c", mount, options))
    assert program.process.wait(20) == 75
    assert message in program.log.wait_for("kegnet-client: ")
