"""One process delivers from a spool, whoever it is and by whatever way it came; nobody else can hold it up."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kegnet_client.core.errors import SpoolError, SpoolInUseError
from kegnet_client.spool.directory import Spool
from kegnet_client.spool.lock import find_unlockable, is_delivered_from, lock_spool

DAEMON, MEMBER, GROUP = 65531, 65532, 65533
ROOT = 0


@pytest.fixture
def machine() -> Iterator[Path]:
    """A root that others may enter, with the daemon's spool and the installer's directory for its lock."""
    if os.geteuid() != 0:
        pytest.skip("takes root: it is several users")
    root = Path(tempfile.mkdtemp(prefix="kegnet-test-"))
    root.chmod(0o755)
    for name, mode in (("spool", 0o3770), ("run", 0o755)):
        (root / name).mkdir()
        os.chown(root / name, DAEMON, GROUP)
        (root / name).chmod(mode)
    yield root
    shutil.rmtree(root)


@contextmanager
def being(user: int) -> Iterator[None]:
    """What is done in here is done as ``user``, who is in the group."""
    os.setegid(GROUP)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def take(path: Path, user: int, run: Path) -> int:
    """The descriptor of the lock that ``user`` has taken."""
    with being(user):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return lock_spool(path, fd, run)
        finally:
            os.close(fd)


def lock_file(directory: Path) -> Path:
    """The one that was made there."""
    (found,) = directory.glob("spool-*.lock")
    return found


@pytest.mark.case(61)
@pytest.mark.parametrize("place", ["run", ".state"], ids=["installed", "by hand"])
@pytest.mark.parametrize("first", [ROOT, DAEMON], ids=["root's send first", "the daemon first"])
def test_whoever_of_those_who_deliver_is_first_the_other_is_kept_out_and_comes_after(
    machine: Path, place: str, first: int
) -> None:
    run = machine / ("run" if place == "run" else "none")
    if place == ".state":
        os.chown(machine, DAEMON, GROUP)
    second = DAEMON if first == ROOT else ROOT
    lock = take(machine / "spool", first, run)
    with pytest.raises(SpoolInUseError):
        take(machine / "spool", second, run)
    os.close(lock)
    os.close(take(machine / "spool", second, run))
    status = lock_file(machine / place).stat()
    assert (status.st_uid, status.st_mode & 0o777) == (DAEMON, 0o600)
    assert list((machine / "spool").iterdir()) == []


@pytest.mark.case(61)
@pytest.mark.parametrize("place", ["run", ".state"], ids=["installed", "by hand"])
@pytest.mark.parametrize("is_made", [False, True], ids=["before there is a lock", "after"])
def test_a_member_of_the_group_can_neither_take_the_lock_nor_stand_in_its_way(
    machine: Path, place: str, is_made: bool
) -> None:
    run = machine / ("run" if place == "run" else "none")
    if place == ".state":
        os.chown(machine, DAEMON, GROUP)
    if is_made:
        os.close(take(machine / "spool", DAEMON, run))
    with pytest.raises(SpoolError, match="only the owner of the spool and root deliver from it"):
        take(machine / "spool", MEMBER, run)
    with being(MEMBER):
        for path in machine.glob("*/*.lock"):
            with pytest.raises(PermissionError):
                os.open(path, os.O_RDONLY)
        spool = os.open(machine / "spool", os.O_RDONLY)
        fcntl.flock(spool, fcntl.LOCK_SH)
    for user in (DAEMON, ROOT):
        os.close(take(machine / "spool", user, run))
    os.close(spool)


def put_directory(path: Path) -> None:
    path.mkdir()
    os.chown(path, MEMBER, GROUP)


def put_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to(path.parent / "elsewhere")


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def test_an_owner_who_may_not_write_beside_the_spool_is_told_what_is_to_be_made(machine: Path) -> None:
    spool = os.open(machine / "spool", os.O_RDONLY)
    remedy = rf"sudo mkdir -p {machine}/.state && sudo chown -R {DAEMON} {machine}/.state$"
    for _ in ("none is there", "it is root's"):
        with pytest.raises(SpoolError, match=f"cannot be locked: .*{remedy}"):
            take(machine / "spool", DAEMON, machine / "none")
        with being(DAEMON):
            problem = find_unlockable(machine / "spool", spool, machine / "none")
        assert problem is not None
        assert re.search(remedy, problem)
        (machine / ".state").mkdir(exist_ok=True)
    os.chown(machine / ".state", DAEMON, -1)
    os.close(take(machine / "spool", DAEMON, machine / "none"))
    os.chown(lock_file(machine / ".state"), ROOT, -1)  # as where the spool was root's before
    with pytest.raises(SpoolError, match=f"cannot be locked: .*{remedy}"):
        take(machine / "spool", DAEMON, machine / "none")
    subprocess.run(["sh", "-c", remedy.replace("sudo ", "").rstrip("$")], check=True)
    os.close(take(machine / "spool", DAEMON, machine / "none"))
    with being(DAEMON):
        assert find_unlockable(machine / "spool", spool, machine / "none") is None
    os.close(spool)


@pytest.mark.case(61)
@pytest.mark.parametrize("put", [put_directory, put_link, put_pipe])
def test_a_place_for_the_lock_that_is_a_neighbours_is_told_and_not_used(
    machine: Path, put: Callable[[Path], None]
) -> None:
    put(machine / ".state")
    with pytest.raises(SpoolError, match=r"cannot be locked: (others than|\S+/\.state is not a directory, .* away$)"):
        take(machine / "spool", ROOT, machine / "none")
    assert list(machine.glob("*/*.lock")) == []


@pytest.mark.case(61)
@pytest.mark.parametrize("place", ["run", "none"], ids=["installed", "by hand"])
def test_two_roots_with_one_spool_have_one_lock(machine: Path, place: str) -> None:
    (machine / "other").mkdir()
    (machine / "other" / "spool").symlink_to(machine / "spool")
    lock = take(machine / "spool", ROOT, machine / place)
    with pytest.raises(SpoolInUseError):
        take(machine / "other" / "spool", ROOT, machine / place)
    os.close(lock)


def test_a_look_takes_nothing_makes_nothing_and_sees_who_holds_it(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    with closing(Spool(tmp_path / "spool", make=False)) as seen:
        assert not is_delivered_from(seen.path, seen.fd)
        assert [path.name for path in tmp_path.iterdir()] == ["spool"]
        with closing(Spool(tmp_path / "spool")) as spool:
            spool.lock()
            assert is_delivered_from(seen.path, seen.fd)
        assert not is_delivered_from(seen.path, seen.fd)


def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    script = """
import sys
from pathlib import Path
from kegnet_client.spool.directory import Spool
spool = Spool(Path(sys.argv[1]))
spool.lock()
print("locked", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "spool"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with closing(Spool(tmp_path / "spool")) as spool, pytest.raises(SpoolInUseError):
            spool.lock()
        process.kill()
    with closing(Spool(tmp_path / "spool")) as spool:
        spool.lock()
