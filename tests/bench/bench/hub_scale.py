"""Ingest on PostgreSQL with one hub process and with two, and beside a peer that stores pours over HTTP: InfluxDB.

InfluxDB is what somebody takes who has a keg and a Grafana, and Debian has it: a POST is a line of text, over TLS like
the hub's. It verifies no signature, and keeps no proof; as the hub, it has its log on disk before it answers.
"""

import http.client
import json
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.support import postgresql

from .contestants import INFLUXDB, PROGRAM
from .hub import V2, V3, Hub, Kind, loading, make_home, serving
from .process import NoFigureError, Process
from .results import Aim, Row
from .run import Run
from .sink import Helper

START_S = 60.0
REST_S = 5.0
"""After that it holds what it holds while nobody asks."""
MOST_MB = 115
_APART = 10_000_000
_FIRST = {V2: 0, V3: 2 * _APART}
# Started as the hub is, but the dashboard's extra seems not to be installed.
_WITHOUT_PAGES = (
    "import sys; sys.modules['nicegui'] = None; from kegnet_client.cli import main; raise SystemExit(main())"
)
_OUTLETS = {"mqtt": "broker = mqtt://127.0.0.1:9", "notify": "urls = json://127.0.0.1:9"}


def scale(run: Run) -> None:
    """One hub process, two of them, and InfluxDB."""
    with postgresql.running() as server:
        for count in (1, 2):
            with run.measuring(f"{count} hub processes on PostgreSQL", PROGRAM):
                home, device = make_home(run, f"hub-scale-{count}", "--database", server.make_database())
                with ExitStack() as stack:
                    hubs = [stack.enter_context(serving(run, home, device, f"log-{number}")) for number in range(count)]
                    for kind in (V2, V3):
                        _measure_hubs(run, hubs, kind)
    with run.measuring("pours over HTTP", INFLUXDB), _influxdb(run) as hub:
        for kind in (V2, V3):
            with loading(hub, kind, "influxdb", _FIRST[kind]) as load:
                for number in range(run.settings.rounds):
                    run.tell(f"InfluxDB, {kind.protocol}: round {number + 1} of {run.settings.rounds}")
                    run.results.add(_row(1, kind), INFLUXDB, _per_s([load], _requests(run, kind)))


def rest(run: Run) -> None:
    """What a hub holds at rest with everything on but the pages."""
    row = Row("hub-rest", "hub: RSS at rest, all on but the dashboard", "MB", Aim(MOST_MB, at_least=False))
    run.results.expect(row)
    with run.measuring("the hub at rest", PROGRAM):
        home, device = make_home(run, "hub-rest")
        settings = home / "hub.conf"
        text = settings.read_text()
        for section, setting in _OUTLETS.items():
            text = text.replace(f"[{section}]", f"[{section}]\n{setting}")
        settings.write_text(text)
        python = run.settings.program.with_name("python")
        program = [str(python if python.exists() else sys.executable), "-c", _WITHOUT_PAGES]
        for _ in range(run.settings.rounds):
            run.tell("hub at rest")
            with serving(run, home, device, program=program) as hub:
                time.sleep(REST_S)
                run.results.add(row, PROGRAM, hub.process.rss_mb())


def _measure_hubs(run: Run, hubs: list[Hub], kind: Kind) -> None:
    row = _row(len(hubs), kind)
    run.results.expect(row)
    with ExitStack() as stack:
        loads = [
            stack.enter_context(loading(hub, kind, first=_FIRST[kind] + number * _APART))
            for number, hub in enumerate(hubs)
        ]
        for number in range(run.settings.rounds):
            run.tell(f"{len(hubs)} hub processes, {kind.protocol}: round {number + 1} of {run.settings.rounds}")
            run.results.add(row, PROGRAM, _per_s(loads, _requests(run, kind) // len(hubs)))


def _row(count: int, kind: Kind) -> Row:
    processes = "one process" if count == 1 else f"{count} processes"
    unit = "pours" if kind is V2 else "records, batches of 500"
    return Row(f"hub-scale-{count}-{kind.protocol}", f"hub on PostgreSQL, {processes}: {kind.protocol} {unit}", "/s")


def _requests(run: Run, kind: Kind) -> int:
    quick = run.settings.quick
    return (1_000 if quick else 10_000) if kind is V2 else (20 if quick else 200)


def _per_s(loads: list[Helper], requests: int) -> float:
    """How many records a second all of ``loads`` bring together, each with so many requests."""
    for load in loads:
        load.ask(f"sign {requests}")
    with ThreadPoolExecutor(len(loads)) as together:
        told: list[dict[str, Any]] = list(together.map(lambda load: load.ask("go 0"), loads))
    for one in told:
        if one["failures"]:
            raise NoFigureError(f"{one['failures']} of {requests} requests failed: {one['failure'][:200]!r}")
    return float(sum(one["records"] for one in told) / max(one["elapsed_s"] for one in told))


@contextmanager
def _influxdb(run: Run) -> Iterator[Hub]:
    """A real one with the certificate of a hub, as far as a load needs to know it."""
    program = shutil.which("influxd")
    if program is None:
        raise NoFigureError("it is not here: apt-get install influxdb")
    home, device = make_home(run, "influxdb")
    with socket.socket() as probe, socket.socket() as other:
        probe.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, rpc = probe.getsockname()[1], other.getsockname()[1]
    configuration = home / "influxdb.conf"
    configuration.write_text(
        f"""reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{home}/meta"
[data]
dir = "{home}/data"
wal-dir = "{home}/wal"
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
https-enabled = true
https-certificate = "{home}/server.crt"
https-private-key = "{home}/server.key"
"""
    )
    key = run.stage.directory / "device.key"
    key.touch(0o600)
    key.write_bytes(run.stage.key_pem)
    environment = {"HOME": str(home)}
    with Process([program, "-config", configuration], home / "log", environment) as process:
        hub = Hub(home, port, device, key, process)
        _make_database(hub)
        yield hub


def _make_database(hub: Hub) -> None:
    context = ssl.create_default_context(cafile=str(hub.home / "ca.crt"))
    give_up_s = time.monotonic() + START_S
    while True:
        hub.process.check()
        connection = http.client.HTTPSConnection("localhost", hub.port, context=context)
        try:
            connection.request("POST", "/query?q=CREATE+DATABASE+kegnet")
            answer = connection.getresponse()
            if answer.status != 200:
                raise NoFigureError(f"it makes no database: {answer.status} {json.dumps(answer.read().decode())[:200]}")
            return
        except OSError:
            if time.monotonic() > give_up_s:
                raise NoFigureError("it did not start") from None
            time.sleep(0.1)
        finally:
            connection.close()
