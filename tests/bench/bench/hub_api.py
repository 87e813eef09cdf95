"""How soon the hub's API answers when it holds very much.

One pour and one temperature come in over the wire; they are copied in the database, each copy with a time and an
identity of its own, so that the rows are as the hub makes them, whatever columns it has.
"""

import http.client
import json
import random
import re
import sqlite3
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from .contestants import PROGRAM
from .figures import percentile
from .hub import V2, Hub, loading, make_home, send, serving
from .process import NoFigureError
from .programs.wire import signer
from .results import Aim, Row
from .run import Run

QUERIES = 100
DEVICES = 20
FIRST_MS = 1_500_000_000_000
STEP_MS = 20_000
DAY_MS = 86_400_000
PINS = 4
RARE_PIN = 200
SENSORS = 3
CHUNK = 250_000
TABLES = {"pours": "started_ms", "temperatures": "taken_ms"}

Parameters = dict[str, str | int]


def api(run: Run) -> None:
    """Pages of a full database; the slowest in a hundred."""
    if run.settings.quick:
        run.results.note("hub's API: left out of the quick run, filling the database takes minutes")
        return
    rows = 10_000_000
    with run.measuring("the hub's API", PROGRAM):
        home, device = make_home(run, "hub-api")
        with serving(run, home, device) as hub, loading(hub, V2) as load:
            send(load, 1, 0)
            _ping(hub)
        _fill(run, home / "hub.db", rows // len(TABLES))
        with serving(run, home, device) as hub:
            _query(run, hub, rows)


def _ping(hub: Hub) -> None:
    """One temperature, over v2."""
    values = {"id": hub.device, "temp": "3875", "ts": str(FIRST_MS)}
    form = {**values, "sig": signer(str(hub.key))(",".join(values.values()).encode())}
    connection = _connect(hub)
    connection.request("POST", "/rest/v2/ping", urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"})
    if connection.getresponse().status != 200:
        raise NoFigureError("the hub takes no temperature")
    connection.close()


def _fill(run: Run, path: Path, rows: int) -> None:
    """Copy what each table has until there are so many; its indexes are made at the end, which is faster."""
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript("PRAGMA foreign_keys=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-500000;")
    for table, when in TABLES.items():
        indexes = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type='index' AND tbl_name=? AND sql IS NOT NULL", [table]
        ).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})") if name != "id"]
        changed = {
            "device": f"'00000000-0000-4000-8000-' || printf('%012d', n.i % {DEVICES})",
            "record_id": "lower(hex(randomblob(16)))",
            when: f"{FIRST_MS} + n.i * {STEP_MS}",
            # One tap that is nearly never used: what is found by walking past all the others shows in its time.
            "pin": f"CASE WHEN n.i % {rows // 10} = 0 THEN {RARE_PIN} ELSE n.i / {DEVICES} % {PINS} END",
            "sensor": f"'28-' || printf('%012x', n.i / {DEVICES} % {SENSORS})",
        }
        values = ", ".join(changed.get(column, f"template.{column}") for column in columns)
        for first in range(0, rows, CHUNK):
            run.tell(f"hub's API: {table}, {first:,} of {rows:,} rows")
            database.execute(
                f"WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {first + CHUNK - 1}) "  # noqa: S608 (all of it stands here)
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM n, {table} AS template "
                f"WHERE template.id = 1"
            )
        for _, statement in indexes:
            run.tell(f"hub's API: {table}, indexes")
            database.execute(statement)
    run.tell("hub's API: the log into the database")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def _query(run: Run, hub: Hub, rows: int) -> None:
    token = (hub.home / "token").read_text().strip()
    last_ms = FIRST_MS + rows // len(TABLES) * STEP_MS

    def device() -> str:
        return f"00000000-0000-4000-8000-{_below(DEVICES):012}"

    def moment() -> int:
        return FIRST_MS + _below(last_ms - FIRST_MS - DAY_MS)

    both: dict[str, Callable[[], Parameters]] = {
        "the newest": dict,
        "of a device": lambda: {"device": device()},
        "of a device on a day": lambda: {"device": device(), "since_ms": (day := moment()), "until_ms": day + DAY_MS},
        "from a time on, 1,000 a page": lambda: {"since_ms": moment(), "limit": 1000},
        "deep inside": lambda: {"after": f"{moment()}.{_below(rows)}"},
    }
    kinds: dict[str, dict[str, Callable[[], Parameters]]] = {
        "pours": {
            **both,
            "of a rare tap": lambda: {"pin": RARE_PIN},
            "of a device's tap": lambda: {"device": device(), "pin": _below(PINS)},
        },
        "temperatures": {
            **both,
            "of a sensor": lambda: {"sensor": f"28-{_below(SENSORS):012x}"},
            "of a device's sensor": lambda: {"device": device(), "sensor": f"28-{_below(SENSORS):012x}"},
        },
    }
    connection = _connect(hub)
    for table in TABLES:
        for kind, parameters in kinds[table].items():
            run.tell(f"hub's API: {table} {kind}")
            key = f"hub-api-{table}-{re.sub('[^a-z0-9]+', '-', kind)}"
            row = Row(key, f"hub's API, {rows:,} rows: {table} {kind}, p99", "ms", Aim(50, at_least=False))
            run.results.expect(row)
            took_ms = []
            for _ in range(QUERIES):
                path = f"/api/{table}?{urlencode(parameters())}"
                started_s = time.perf_counter()
                connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
                response = connection.getresponse()
                content = response.read()
                took_ms.append((time.perf_counter() - started_s) * 1000)
                if response.status != 200 or not json.loads(content)["items"]:
                    raise NoFigureError(f"{path}: {response.status} {content[:200]!r}")
            run.results.add(row, PROGRAM, percentile(took_ms, 99))


def _below(end: int) -> int:
    return random.randrange(end)  # noqa: S311 (nothing is secret about it)


def _connect(hub: Hub) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(hub.home / "ca.crt"))
    return http.client.HTTPSConnection("localhost", hub.port, context=context)
