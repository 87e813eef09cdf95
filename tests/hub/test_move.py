"""The hub moved from one database to another: every row is there, whatever was killed when, and none is lost beside."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import Connection, insert, select, update

from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.hub.domain.alarms import publish
from kegnet_client.hub.domain.roles import Role
from kegnet_client.hub.home import Home
from kegnet_client.hub.ingest.batch import Batch
from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.ingest.rows import Submission
from kegnet_client.hub.serve import utc_now
from kegnet_client.hub.store import alarms, bodies, house, schema, tokens, transfer
from kegnet_client.hub.store.database import Database, StoreError
from kegnet_client.hub.store.records import Store
from kegnet_client.hub.store.transfer import TransferError

from ..support.postgresql import PostgreSQL
from .conftest import NOW_MS
from .test_cli import run_hub
from .test_house import DEVICE

Send = Callable[[Home, int], None]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def send(claim: Callable[..., Claim], submission: Callable[..., Batch], record: Callable[..., Any]) -> Send:
    """``send(home, n)``: the n-th records of the device, by REST v2 and v3."""

    def ingest(home: Home, number: int) -> None:
        at_ms = NOW_MS + number
        batch = submission(
            DEVICE,
            [
                record("pour", DEVICE, pin=1, pulses=9, elapsed_ms=1, started_ms=at_ms),
                record("reading", DEVICE, sensor="28-0316a2795c5b", millidegrees=3875, taken_ms=at_ms),
                record("heartbeat", DEVICE, at_ms=at_ms),
            ],
        )
        with closing(Store(home.database())) as store:
            sent: list[Submission] = [claim("pour", id=DEVICE, pin=0, pulses=100, et=1000, ts=at_ms), batch]
            assert [one for one in store.ingest(sent, at_ms) if isinstance(one, Exception)] == []

    return ingest


@pytest.fixture
def home(tmp_path: Path, device_key: rsa.RSAPrivateKey, send: Send) -> Home:
    """A hub on SQLite with rows in every table."""
    home = Home(tmp_path / "hub")
    home.initialise(["localhost"], None, utc_now())
    with closing(Store(home.database())) as store:
        store.prepare()
        store.add_device(DEVICE, device_key.public_key(), "=bar \N{BEER MUG}", NOW_MS)
    for number in range(3):
        send(home, number)
    with closing(Store(home.database())) as store:
        store.write(_say)
    return home


def _say(connection: Connection) -> None:
    def say(kind: str, subject: int | None, body: bodies.Body) -> None:
        house.say(connection, kind, subject, body, "\N{LATIN SMALL LETTER A WITH RING ABOVE}nn", NOW_MS)

    meter = bodies.MeterAtTap(device=DEVICE, pin=0, from_ms=1)
    say("tap", None, bodies.Tap(name="left", meters=[meter]))
    say("beverage", None, bodies.Beverage(name="Pils"))
    say("keg", None, bodies.Keg(beverage=1, size_ml=50_000, taps=[bodies.KegAtTap(tap=1, from_ms=1)]))
    say("adjustment", 1, bodies.Adjustment(what="spill", reason="a jug"))
    alarms.happen(connection, 5, lambda standing: publish(standing, "system", "1001", "too warm", 5))
    tokens.make(connection, "guest", Role.READ, NOW_MS)
    for table, row in (
        (schema.invitations, {"secret_sha256": "b" * 64, "name": None, "expires_ms": 1}),
        (schema.login_links, {"secret_sha256": "B" * 64, "name": "x", "role": "read", "expires_ms": 1}),
        (schema.login_links, {"secret_sha256": "a" * 64, "name": "x", "role": "read", "expires_ms": 1}),
        (schema.refusals, {"minute": 1, "device": DEVICE, "records": 2}),
    ):
        connection.execute(insert(table), row)


def dump(database: Path | str) -> dict[str, list[tuple[Any, ...]]]:
    """All that is in it."""
    with closing(Database(database)) as opened:
        return {table.name: sorted(map(tuple, opened.rows(select(table))), key=repr) for table in transfer.TABLES}


def migrate(home: Home, target: str) -> int:
    return run_hub("migrate", "--to", target, "--dir", str(home.directory))


def test_every_row_is_moved_to_postgresql_and_back(home: Home, postgresql_server: PostgreSQL, send: Send) -> None:
    before = dump(home.database())
    assert [name for name, rows in before.items() if not rows] == []
    target = postgresql_server.make_database()
    assert migrate(home, target) == 0
    assert home.database() == target
    assert dump(target) == before
    send(home, 7)  # the numbers go on
    before = dump(target)
    (home.directory / "hub.db").rename(home.directory / "hub.db.old")
    assert migrate(home, f"sqlite:///{home.directory}/hub.db") == 0
    assert home.database() == home.directory / "hub.db"
    assert (home.directory / "hub.db").stat().st_mode & 0o777 == 0o600
    assert dump(home.database()) == before
    send(home, 8)
    with closing(Store(home.database())) as store:
        assert [one.fault for one in store.verify_stored() if one.fault] == []


def test_the_old_database_takes_nothing_more_even_from_a_hub_that_runs_there(
    home: Home, postgresql_server: PostgreSQL, claim: Callable[..., Claim]
) -> None:
    first, second = home.database(), postgresql_server.make_database()
    for old, new in ((first, second), (second, f"sqlite:///{home.directory}/new.db")):
        with closing(Store(old)) as running:
            running.prepare()
            assert migrate(home, new) == 0
            late = claim("pour", id=DEVICE, pin=0, pulses=1, et=1000, ts=NOW_MS + 99)
            with pytest.raises(StoreError, match="was moved to another database"):
                running.ingest([late], NOW_MS)
            with pytest.raises(StoreError, match="was moved to another database"):
                running.revoke_device(DEVICE, NOW_MS)
        with closing(Store(old)) as started, pytest.raises(StoreError, match=r"hub\.conf has to name"):
            started.prepare()


def test_a_number_that_was_given_is_not_given_again(home: Home, postgresql_server: PostgreSQL, send: Send) -> None:
    with closing(Store(home.database())) as store:
        _, last_id = store.event_bounds()
        store.write(lambda connection: connection.execute(schema.events.delete()))
    migrate(home, postgresql_server.make_database())
    (home.directory / "hub.db").unlink()
    migrate(home, f"sqlite:///{home.directory}/hub.db")
    send(home, 7)
    with closing(Store(home.database())) as store:
        assert store.events_after(0, 10)[0].id == last_id + 1


KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from kegnet_client.commands import hub
from kegnet_client.commands.parser import Parser
parser = Parser()
hub.add_arguments(parser)
options = parser.parse_args(sys.argv[2:])
from kegnet_client.hub import move  # imported once for all attempts
from kegnet_client.hub.store import transfer
transfer.CHUNK_ROWS = 2

def attempt(last):
    steps = 0
    def step(*_):
        nonlocal steps
        steps += 1
        if steps > last:
            os.kill(os.getpid(), signal.SIGKILL)
    event.listen(Engine, "begin", step)
    event.listen(Engine, "commit", step)
    sys.addaudithook(lambda name, _: step() if name == "os.rename" else None)
    sys.stdout = open(os.devnull, "w")
    os._exit(hub.handle(options))

for last in range(0, 500, int(sys.argv[1])):
    child = os.fork()
    if not child:
        attempt(last)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != -signal.SIGKILL:
        break
    print(last, flush=True)
    if not sys.stdin.readline():
        break
raise SystemExit(status)
"""


@pytest.mark.case(126)
@pytest.mark.process
@pytest.mark.parametrize(
    ("way", "every"),
    [
        ("to PostgreSQL", 11),
        ("back", 13),
        pytest.param("to PostgreSQL", 1, marks=pytest.mark.slow),
        pytest.param("back", 1, marks=pytest.mark.slow),
    ],
)
def test_a_move_that_is_killed_at_any_step_goes_on(
    home: Home, postgresql_server: PostgreSQL, send: Send, way: str, every: int
) -> None:
    target = postgresql_server.make_database()
    if way == "back":
        migrate(home, target)
        target = f"sqlite:///{home.directory}/new.db"
    source = home.database()
    words = ["migrate", "--to", target, "--dir", str(home.directory)]
    argv = [sys.executable, "-c", KILLED, str(every), *words]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        expected, killed = dump(source), 0
        for line in process.stdout:
            killed = int(line)
            # Until the move is done, the hub goes on where it is, and what it takes meanwhile is moved, too.
            with closing(Database(source)) as database:
                is_moved = database.read(schema.version_of) == schema.MOVED
            if not is_moved and killed in (11, 26):
                send(home, 100 + killed)
                expected = dump(source)
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0
    assert killed > 40
    assert home.database() == target
    with closing(Database(source)) as database:
        assert database.read(schema.version_of) == schema.MOVED
    assert dump(target) == dump(source) == expected


def test_a_row_that_differs_is_found_and_nothing_is_moved(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = transfer.copy

    def damage(here: Connection, there: Connection, on_row: transfer.OnRow) -> None:
        copy(here, there, on_row)
        with there.begin():
            there.execute(update(schema.pours).where(schema.pours.c.id == 2).values(pulses=1))

    monkeypatch.setattr(transfer, "copy", damage)
    with pytest.raises(TransferError, match="pours: id 2 is not the same in both"):
        migrate(home, f"sqlite:///{home.directory}/new.db")
    assert home.database() == home.directory / "hub.db"
    with closing(Store(home.database())) as store:
        store.prepare()
        store.revoke_device(DEVICE, NOW_MS)
    with closing(Store(home.directory / "new.db")) as half, pytest.raises(StoreError, match="was cut short"):
        half.prepare()


def test_a_database_that_holds_a_hub_is_not_written_over(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    run_hub("init", "--dir", str(other.directory))
    run_hub("taps", "add", "left", "--dir", str(other.directory))
    before = dump(other.database())
    with pytest.raises(UsageError, match="holds a hub already"):
        migrate(home, f"sqlite:///{other.directory}/hub.db")
    assert dump(other.database()) == before
    with pytest.raises(UsageError, match="already"):
        migrate(home, f"sqlite:///{home.directory}/hub.db")
    with pytest.raises(StoreError, match="cannot be made"):
        migrate(home, f"sqlite:///{tmp_path}/nowhere/new.db")


@pytest.mark.case(127)
@pytest.mark.parametrize("is_prepared", [False, True])
def test_an_empty_database_beside_a_full_one_is_refused_with_the_command_that_moves_it(
    home: Home, postgresql_server: PostgreSQL, is_prepared: bool
) -> None:
    target = postgresql_server.make_database()
    if is_prepared:
        with closing(Store(target)) as store:
            store.prepare()
    before = dump(home.database())
    home.use_database(target, None)
    for words in (("run", "--port", "0"), ("status",), ("devices", "list")):
        with pytest.raises(ConfigError, match=r"hub migrate --to postgresql\+psycopg://postgres@/hub_"):
            run_hub(*words, "--dir", str(home.directory))
    assert migrate(home, target) == 0
    assert dump(target) == before
    assert run_hub("devices", "list", "--dir", str(home.directory)) == 0
    assert migrate(home, target) == 0  # done already


def test_a_new_hub_on_postgresql_is_none_left_behind(tmp_path: Path, postgresql_server: PostgreSQL) -> None:
    directory = str(tmp_path / "hub")
    assert run_hub("init", "--database", postgresql_server.make_database(), "--dir", directory) == 0
    assert run_hub("devices", "list", "--dir", directory) == 0


def test_what_hub_conf_says_otherwise_stays(home: Home) -> None:
    text = home.settings.read_text() if home.settings.exists() else ""
    home.settings.write_text(text.replace("#port = 8443", "port = 9443"))
    migrate(home, f"sqlite:///{home.directory}/new.db")
    migrate(home, f"sqlite:///{home.directory}/newer.db")
    assert home.settings.read_text().count(f"database = sqlite:///{home.directory}/newer.db") == 1
    assert "port = 9443" in home.settings.read_text()
    assert home.database() == f"sqlite:///{home.directory}/newer.db"
