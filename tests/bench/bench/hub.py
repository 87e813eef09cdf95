"""How much the hub takes: verified and on disk, over TLS, on the same machine as its load.

The floors verify and store the same without a network; what is between them and the hub is HTTP, TLS and the
framework, on a machine whose other core makes the load.
"""

import json
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contestants import FLOOR, PROGRAM
from .figures import median, percentile, readable
from .process import NoFigureError, Process
from .results import Aim, Row
from .run import Run
from .sink import ENVIRONMENT, Helper, python

Paces = dict[str, dict[str, float]]
"""What `bench.programs.hub_floor` prints."""

START_S = 30.0
_URL = re.compile(r"https://\S+:(\d+)")
FLOOR_SECONDS = 1.0


@dataclass(frozen=True)
class Hub:
    """A running hub: its directory, its port, a device that may send, and that one's key."""

    home: Path
    port: int
    device: str
    key: Path
    process: Process


@dataclass(frozen=True)
class Kind:
    """A protocol's load: how many connections, and requests of so many records."""

    protocol: str
    connections: int
    batch: int
    aim_per_s: float


V2 = Kind("v2", 32, 1, 1_000)
V3 = Kind("v3", 4, 500, 15_000)


def make_home(run: Run, name: str, *options: str) -> tuple[Path, str]:
    """A hub's directory, made with ``options`` of ``hub init``, where one device is registered; its uuid."""
    home, device = run.stage.directory / name, str(uuid.uuid4())
    public = run.stage.directory / "device.pub"
    public.write_bytes(run.stage.public_pem)
    for arguments in (("init", "--host", "localhost", *options), ("devices", "add", device, public)):
        command = [run.settings.program, "hub", *arguments, "--dir", home]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoFigureError(done.stderr.strip())
    return home, device


@contextmanager
def serving(
    run: Run, home: Path, device: str, log_name: str = "log", program: Sequence[str | Path] | None = None
) -> Iterator[Hub]:
    """``kegnet-client hub run`` on ``home``; ``program`` is how it is started, if not as the one that is measured."""
    log = home / log_name
    key = run.stage.directory / "device.key"
    key.touch(0o600)
    key.write_bytes(run.stage.key_pem)
    command: list[str | Path] = [
        *(program or [run.settings.program]),
        "hub",
        "run",
        "--dir",
        home,
        "--bind",
        "127.0.0.1",
        "--port",
        "0",
    ]
    with Process(command, log, {}) as process:
        give_up_s = time.monotonic() + START_S
        while not (told := _URL.search(log.read_text())):
            process.check()
            if time.monotonic() > give_up_s:
                raise NoFigureError("the hub did not start")
            time.sleep(0.02)
        yield Hub(home, int(told[1]), device, key, process)


@contextmanager
def loading(hub: Hub, kind: Kind, protocol: str | None = None, first: int = 0) -> Iterator[Helper]:
    """What sends to ``hub`` over that kind's connections, in that kind's protocol or another.

    Its pours are numbered from ``first`` on, and no two of a device may have one number.
    """
    work = {
        "port": hub.port,
        "ca": str(hub.home / "ca.crt"),
        "key": str(hub.key),
        "device": hub.device,
        "protocol": protocol or kind.protocol,
        "batch": kind.batch,
        "first": first,
        "connections": kind.connections,
    }
    load = Helper("load", json.dumps(work))
    try:
        yield load
    finally:
        load.close()


def send(load: Helper, requests: int, per_s: float) -> dict[str, Any]:
    """So many requests; what came of them. `NoFigureError` when not all were taken."""
    load.ask(f"sign {requests}")
    told: dict[str, Any] = load.ask(f"go {per_s}")
    if told["failures"]:
        raise NoFigureError(f"{told['failures']} of {requests} requests failed: {told['failure'][:200]!r}")
    return told


def ingest(run: Run) -> None:
    """What it takes at most, how soon it answers at half of that, and what it holds."""
    floors = _floors(run)
    for kind in (V2, V3):
        with run.measuring(f"hub {kind.protocol}", PROGRAM):
            home, device = make_home(run, f"hub-{kind.protocol}")
            with serving(run, home, device) as hub:
                time.sleep(1)  # what its start leaves to do is no part of a figure
                _ingest(run, hub, kind, floors)


def _floors(run: Run) -> Paces:
    what = {
        "verify": "hub's floor: verify RSA-2048",
        "insert 1": "hub's floor: insert and commit, row by row",
        "insert 32": "hub's floor: insert and commit, 32 rows",
        "insert 500": "hub's floor: insert and commit, 500 rows",
    }
    rows = {name: Row(f"hub-floor-{name.replace(' ', '-')}", title, "/s") for name, title in what.items()}
    run.results.expect(*rows.values())
    run.tell("hub: floors")
    key = run.stage.directory / "floor.key"
    key.write_bytes(run.stage.key_pem)
    work = {"key": str(key), "directory": str(run.stage.directory), "seconds": FLOOR_SECONDS}
    command = python("hub_floor", json.dumps(work))
    paces: Paces = json.loads(subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, check=True).stdout)
    for name, row in rows.items():
        run.results.add(row, FLOOR, paces[name]["per_s"])
    return paces


def _ingest(run: Run, hub: Hub, kind: Kind, floors: Paces) -> None:
    quick = run.settings.quick
    name = f"hub-{kind.protocol}"
    requests = (1_500 if quick else 10_000) if kind is V2 else (40 if quick else 400)
    total = 50_000 if quick else 1_000_000
    unit = "pours" if kind is V2 else "records, batches of 500"
    rate = Row(
        f"{name}-rate", f"hub: {kind.protocol} {unit}, {kind.connections} connections", "/s", Aim(kind.aim_per_s, True)
    )
    cpu = Row(f"{name}-cpu", f"hub: CPU per {kind.protocol} record", "µs")
    p50 = Row(f"{name}-p50", f"hub: a {kind.protocol} request at half that load, p50", "ms")
    p99 = Row(f"{name}-p99", f"hub: a {kind.protocol} request at half that load, p99", "ms", Aim(50, at_least=False))
    at_start = Row(f"{name}-rss-start", f"hub: RSS at the start, {kind.protocol}", "MB")
    run.results.expect(rate, cpu, p50, p99, at_start)
    run.results.add(cpu, FLOOR, floors[f"ingest {kind.protocol}"]["cpu_us"])
    run.results.add(rate, FLOOR, floors[f"ingest {kind.protocol}"]["per_s"])
    run.results.add(at_start, PROGRAM, hub.process.rss_mb())
    stored = 0
    with loading(hub, kind) as load:
        for number in range(run.settings.rounds):
            run.tell(f"hub {kind.protocol}: round {number + 1} of {run.settings.rounds}")
            cpu_before_s = hub.process.cpu_s()
            told = send(load, requests, 0)
            stored += told["records"]
            run.results.add(rate, PROGRAM, told["records"] / told["elapsed_s"])
            run.results.add(cpu, PROGRAM, (hub.process.cpu_s() - cpu_before_s) * 1e6 / told["records"])
            run.results.at_most("the load's share of a core", f"hub {kind.protocol}", told["cpu_share"])
            half_per_s = requests / told["elapsed_s"] / 2
            took_ms = (told := send(load, requests // 2, half_per_s))["took_ms"]
            stored += told["records"]
            run.results.add(p50, PROGRAM, median(took_ms))
            run.results.add(p99, PROGRAM, percentile(took_ms, 99))
        if kind is V3:
            run.tell(f"hub v3: {total:,} records in all")
            while stored < total:
                stored += send(load, min(200, -(-(total - stored) // kind.batch)), 0)["records"]
    after = Row(f"{name}-rss-end", f"hub: RSS after {stored:,} records, {kind.protocol}", "MB")
    run.results.expect(after)
    run.results.add(after, PROGRAM, hub.process.rss_mb())
    _note_where_time_goes(run, kind, floors, run.results.median(cpu.key, PROGRAM) or 0)


def _note_where_time_goes(run: Run, kind: Kind, floors: Paces, cpu_us: float) -> None:
    verify_us = floors["verify"]["cpu_us"] / kind.batch
    insert_us = floors["insert 32" if kind is V2 else "insert 500"]["cpu_us"]
    rest_us = cpu_us - verify_us - insert_us
    run.results.note(
        f"hub {kind.protocol}: of {readable(cpu_us)} µs CPU a record, verifying takes {readable(verify_us)}, "
        f"insert and commit {readable(insert_us)}; {readable(rest_us)} are TLS, HTTP, the framework and parsing"
    )
