"""The removal of the program with all that it has, where the spool is a disk of its own."""

import os
import subprocess
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
STAND_INS = {"getent": "exit 0", "dpkg-query": "exit 1", "systemctl": "exit 1"}
"""What would change this machine writes down that it was called."""


@pytest.fixture
def bin_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    for name, line in (
        STAND_INS | dict.fromkeys(("userdel", "groupdel"), f'echo "$0 $1" >> {tmp_path}/called')
    ).items():
        (directory / name).write_text(f"#!/bin/sh\n{line}\n")
        (directory / name).chmod(0o755)
    return directory


def run_with_disk(spool: str, bin_directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run ``script`` where ``spool`` is mounted, in a file system that is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("takes root: it mounts")
    hidden = "/etc /usr/local /usr/share /var/lib /var/spool"  # all that a removal may touch
    mounts = f"set -e; for at in {hidden} {spool}; do mkdir -p $at; mount -t tmpfs tmpfs $at; done; set +e"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{mounts}\n{script}"],
        env={"PATH": f"{bin_directory}:{os.environ['PATH']}"},
        input="yes\n",
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if "mount" in done.stderr and "permission denied" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    return done


@pytest.mark.case(70)
def test_uninstall_goes_on_behind_a_mounted_spool_and_says_what_stays(bin_directory: Path) -> None:
    root = Path("/usr/share/kegnet-client")
    done = run_with_disk(
        str(root / "spool"),
        bin_directory,
        f"mkdir {root}/conf; touch {root}/conf/privkey.pem {root}/spool/a.pour\n"
        f"sh {SERVICE}/uninstall --purge; echo ended with $?; find {root}",
    )
    assert done.stdout.endswith(f"ended with 1\n{root}\n{root}/spool\n")
    assert "but not what is named above: unmount what is mounted there" in done.stderr
    called = (bin_directory.parent / "called").read_text().split("\n")
    assert [Path(line).name for line in called if line] == [
        "userdel kegnet-runner",
        "userdel kegnet-events",
        "userdel kegnet-led",
        "userdel kegnet-kegboard",
        "userdel kegnet-flow",
        "userdel kegnet-client",
        "userdel kegnet-bridge",
        "userdel kegnet-hub",
        "groupdel kegnet",
    ]


@pytest.mark.case(70)
@pytest.mark.parametrize("keeps", [False, True], ids=["nothing", "something"])
def test_the_packages_purge_takes_the_runners_password_and_names_what_programs_keep(
    bin_directory: Path, keeps: bool
) -> None:
    runner = "/var/lib/kegnet-runner"
    put = f"touch {runner}/state/tap/count" if keeps else ":"
    done = run_with_disk(
        "/var/spool/kegnet-client",
        bin_directory,
        f"mkdir -p {runner}/state/tap {runner}/programs; touch {runner}/password {runner}/programs/a.json; {put}\n"
        f"sh {SERVICE}/debian/kegnet-client.postrm purge; echo ended with $?; find {runner} -type f",
    )
    kept = f"kegnet-client: kept is {runner}, which holds what programs keep; without it: rm -r {runner}\n"
    assert done.stdout == (f"{kept}ended with 0\n{runner}/state/tap/count\n" if keeps else "ended with 0\n")


@pytest.mark.case(70)
def test_uninstall_names_what_programs_keep_before_it_removes_that(bin_directory: Path) -> None:
    runner = "/var/lib/kegnet-runner"
    done = run_with_disk(
        "/var/spool/kegnet-client",
        bin_directory,
        f"mkdir -p {runner}/state; sh {SERVICE}/uninstall --purge; ls {runner} 2>&1",
    )
    assert "all that programs from a database have stored?" in done.stdout
    assert "No such file" in done.stdout


@pytest.mark.case(70)
@pytest.mark.parametrize("waiting", [False, True], ids=["empty", "with a record"])
def test_the_packages_purge_ends_well_behind_a_mounted_spool(bin_directory: Path, waiting: bool) -> None:
    spool = "/var/spool/kegnet-client"
    put = f"touch {spool}/a.pour" if waiting else ":"
    script = SERVICE / "debian" / "kegnet-client.postrm"
    done = run_with_disk(
        spool, bin_directory, f"mkdir {spool}/rejected; {put}\nsh {script} purge; echo ended with $?; ls {spool}"
    )
    kept = f"kegnet-client: kept is {spool}, which holds records that no server has; without them: rm -r {spool}\n"
    assert done.stdout == (f"{kept}ended with 0\na.pour\n" if waiting else "ended with 0\n")
