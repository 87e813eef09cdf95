"""Somebody writes over the database's files while the hub runs: nothing is acknowledged into what is there then."""

import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import event, select

from kegnet_client.core.wire.base_url import Version
from kegnet_client.hub.ingest.forms import read_claim
from kegnet_client.hub.store import schema
from kegnet_client.hub.store.database import StoreError, insert_new
from kegnet_client.hub.store.records import Store

from ...support.device import STARTED_MS
from ...support.program import COMMAND
from ..versions import slowly
from .hub_process import Hub
from .signed_request import Request

pytestmark = pytest.mark.case(58)

FRAME = 4096 + 24
Damage = Callable[[Path, Path], None]


def log_of(database: Path) -> Path:
    return Path(f"{database}-wal")


def copy_over(source: Path, to: Path) -> None:
    """As ``cp`` does it: the file stays, with other content."""
    with source.open("rb") as content, to.open("wb") as file:
        shutil.copyfileobj(content, file)


def write_into(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"?" * 4096)


def replace_log(database: Path, backup: Path) -> None:
    shutil.copy(backup, new := backup.with_name("new"))
    new.rename(log_of(database))


DAMAGES: dict[str, Damage] = {
    "a backup over it": lambda database, backup: copy_over(backup, database),
    "cut to nothing": lambda database, _: os.truncate(database, 0),
    "cut in half": lambda database, _: os.truncate(database, database.stat().st_size // 8192 * 4096),
    "lengthened": lambda database, _: os.truncate(database, database.stat().st_size + 4096),
    "a page written into it": lambda database, _: write_into(database, 8192),
    "its log cut to nothing": lambda database, _: os.truncate(log_of(database), 0),
    "its log cut": lambda database, _: os.truncate(log_of(database), 32 + 5 * FRAME),
    "a backup over its log": lambda database, backup: copy_over(backup, log_of(database)),
    "its log's beginning written over": lambda database, _: write_into(log_of(database), 0),
    "its log replaced": replace_log,
}
QUICK = ("a backup over it", "its log cut")
"""One of each file; the others are for when there is time."""


class Pours:
    """A hub, and the pours of a device that it acknowledged."""

    def __init__(self, hub: Hub, key: rsa.RSAPrivateKey) -> None:
        (self.device,) = hub.register(key)
        self.hub = hub
        self.acknowledged: list[int] = []
        self._key = key

    def send(self, count: int = 1) -> set[int]:
        """Send so many more; the statuses."""
        statuses = set()
        for pulses in range(first := len(self.acknowledged) + 1, first + count):
            answer = self.hub.send(Request("v2", self.device, self._key, [pulses]))
            statuses.add(answer.status_code)
            if answer.status_code == 200:
                self.acknowledged.append(pulses)
            else:
                assert int(answer.headers["Retry-After"]) > 0
        return statuses

    def are_stored(self) -> bool:
        return self.hub.pours(self.device) == self.acknowledged


@pytest.fixture
def pours(hub: Hub, key: rsa.RSAPrivateKey) -> Pours:
    return Pours(hub, key)


@pytest.fixture
def database(hub: Hub) -> Path:
    return hub.directory / "hub.db"


@pytest.fixture
def backup(pours: Pours, database: Path, tmp_path: Path) -> Path:
    """A copy of the database with two pours in it; the hub has acknowledged thirty more since."""
    assert pours.send(2) == {200}
    path = tmp_path / "backup.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    assert pours.send(30) == {200}
    return path


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage, id=name, marks=[] if name in QUICK else pytest.mark.slow)
        for name, damage in DAMAGES.items()
    ],
)
def test_nothing_is_acknowledged_until_it_was_restored(
    pours: Pours, database: Path, backup: Path, damage: Damage
) -> None:
    hub = pours.hub
    damage(database, backup)
    assert pours.send(3) == {503}
    told = hub.program.log.wait_for("while the hub ran: stop the hub to restore it")
    assert str(database) in told
    assert len(hub.program.log.lines("nothing is stored until it can")) == 1
    assert hub.program.stop()[0] == 0
    for path in hub.directory.glob("hub.db*"):
        path.unlink()
    copy_over(backup, database)
    hub.start()
    del pours.acknowledged[2:]
    assert pours.send(3) == {200}
    assert pours.are_stored()
    hub.command("verify")


def test_a_backup_copied_over_it_is_as_it_was_when_the_hub_has_stopped(
    pours: Pours, database: Path, backup: Path
) -> None:
    copy_over(backup, database)
    assert pours.send() == {503}
    assert pours.hub.program.stop()[0] == 0
    assert database.read_bytes() == backup.read_bytes()
    (aside,) = database.parent.glob("hub.db-wal.*")
    assert str(aside) in pours.hub.program.log.wait_for("stop the hub to restore it")
    pours.hub.start()
    del pours.acknowledged[2:]
    assert pours.are_stored()
    assert pours.send() == {200}


def test_what_is_left_of_a_log_that_was_cut_is_there_at_the_next_start(pours: Pours, database: Path) -> None:
    assert pours.send(2) == {200}
    end = log_of(database).stat().st_size
    assert pours.send(20) == {200}
    os.truncate(log_of(database), end + 100)
    assert pours.send() == {503}
    assert pours.hub.program.stop()[0] == 0
    pours.hub.start()
    del pours.acknowledged[2:]
    assert pours.are_stored()


def test_a_file_that_was_only_touched_loses_nothing(pours: Pours, database: Path) -> None:
    assert pours.send(2) == {200}
    database.touch()
    assert pours.send() == {503}
    assert pours.hub.program.stop()[0] == 0
    pours.hub.start()
    assert pours.are_stored()
    assert pours.send() == {200}


def by_sqlite(*statements: str) -> Damage:
    def act(database: Path, _: Path) -> None:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()

    return act


def revoke(database: Path, _: Path) -> None:
    argv = [str(COMMAND), "hub", "devices", "revoke", str(uuid.uuid4()), "--dir", str(database.parent)]
    subprocess.run(argv, check=False, capture_output=True, timeout=30)


HARMLESS: dict[str, Damage] = {
    "nothing": lambda database, _: None,
    "another mode": lambda database, _: database.chmod(0o640),
    "a copy of it": lambda database, backup: copy_over(database, backup),
    "a link to it": lambda database, backup: backup.with_name(uuid.uuid4().hex).hardlink_to(database),
    "a command of the hub": revoke,
    "a checkpoint": by_sqlite("PRAGMA wal_checkpoint(PASSIVE)"),
    "a log that begins anew": by_sqlite("PRAGMA wal_checkpoint(TRUNCATE)"),
    "a change, and all of it in the file": by_sqlite("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"),
    "a vacuum": by_sqlite("VACUUM", "PRAGMA wal_checkpoint(RESTART)"),
}


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(act, id=name, marks=[] if name in ("a command of the hub", "a vacuum") else pytest.mark.slow)
        for name, act in HARMLESS.items()
    ],
)
def test_what_others_may_do_beside_the_hub_is_no_fault(pours: Pours, database: Path, backup: Path, act: Damage) -> None:
    for _ in range(3):
        act(database, backup)
        assert pours.send(2) == {200}
    assert pours.are_stored()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "own.db")) as store:
        store.prepare()
        yield store


CHECKPOINTS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("CREATE TABLE others (content)")
for _ in range(60):  # each is more than SQLite lets a log become before its checkpoint
    connection.execute("INSERT INTO others VALUES (randomblob(5000000))")
"""


def test_what_is_stored_while_another_process_makes_a_checkpoint_is_no_fault(store: Store, tmp_path: Path) -> None:
    argv: list[str | Path] = [sys.executable, "-c", CHECKPOINTS, tmp_path / "own.db"]
    stored = 0
    with subprocess.Popen(argv) as other:
        while other.poll() is None:
            row = {"fingerprint": str(stored), "pem": ""}
            assert store.write(partial(insert_new, table=schema.keys, row=row))
            stored += 1
    assert other.returncode == 0
    assert len(store.rows(select(schema.keys.c.fingerprint))) == stored > 0


@pytest.mark.parametrize(
    ("sent", "number"),
    [(1, SIGKILL), *slowly((0, SIGTERM), (0, SIGKILL), (1, SIGTERM), (2, SIGTERM), (2, SIGKILL))],
)
def test_a_file_that_is_overwritten_soon_after_the_start_is_found(
    pours: Pours, database: Path, backup: Path, sent: int, number: Signals
) -> None:
    pours.hub.program.stop(number)
    pours.hub.start()
    assert pours.send(sent) == {200} or not sent
    copy_over(backup, database)
    assert pours.send() == {503}


@pytest.mark.parametrize("damage", [DAMAGES["a backup over it"], DAMAGES["its log cut"]], ids=["file", "log"])
def test_what_is_overwritten_at_the_commit_is_not_acknowledged(
    store: Store, tmp_path: Path, key: rsa.RSAPrivateKey, damage: Damage
) -> None:
    store.add_device(device := str(uuid.uuid4()), key.public_key(), "tap", 1)
    pour = read_claim("pour", Version.V2, Request("v2", device, key, [1]).body)
    database, backup = tmp_path / "own.db", tmp_path / "backup.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    event.listen(store._engine, "commit", lambda _connection: damage(database, backup))
    with pytest.raises(StoreError, match="stop the hub to restore it"):
        store.ingest([pour], STARTED_MS)
    with pytest.raises(StoreError, match="stop the hub to restore it"):
        store.devices()


def test_the_log_is_written_into_the_file_when_it_has_grown(
    store: Store, tmp_path: Path, key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kegnet_client.hub.store.database._LONG_LOG_FRAMES", 1500)
    device = str(uuid.uuid4())
    store.add_device(device, key.public_key(), "tap", 1)
    before = (tmp_path / "own.db").stat().st_size
    for pulses in range(1, 601):
        store.ingest([read_claim("pour", Version.V2, Request("v2", device, key, [pulses]).body)], STARTED_MS)
    assert (tmp_path / "own.db").stat().st_size > before
    assert log_of(tmp_path / "own.db").stat().st_size < 4500 * FRAME  # it holds 7,000 where it does not begin anew
    assert store.count() == 600
