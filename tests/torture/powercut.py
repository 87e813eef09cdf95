"""The power goes at every moment of enqueue, accept and reject.

A run of the program is recorded; each state that a cut may leave of the spool (`disk`) is built into a directory
of its own, with a server that knows what it had stored by then, and the program is started upon it. A record
whose enqueue had returned has to come out whole at the server or, with its reason, in ``rejected/``.
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bench import ONE_MS, Bench, Device, ViolationError, make_random, version_of, versions, wait_until
from disk import STRACE, Disk, Operation, State, read_trace
from ledger import Ledger, identify
from patience import STILL_S
from second_sink import (
    OWN,
    Kegbot,
    Servers,
    add_kegbot,
    give_away,
    give_to_producer,
    pours_in,
    say_what_is_missing,
    waiting,
)
from server import POISON
from zygote import Zygote

LONG_AGO_S = 1_600_000_000
"""A file's time after the cut: who wrote it is not at it any more."""
TURNS = (("pour", 1), ("send", 1), ("run", 1), ("send", 2), ("run", 2))
"""What is done, and to how many sinks records go."""

Case = dict[str, Any]


def run(bench: Bench, seconds: float) -> None:
    played = {1: 0, 2: 0}
    turn = 0
    say_what_is_missing(bench)
    with closing(Servers(bench)) as servers, closing(Zygote()) as zygote:
        started_s = time.monotonic()
        until_s = started_s + seconds
        while time.monotonic() < until_s:
            (scenario, sinks), version = TURNS[turn % len(TURNS)], version_of(turn // len(TURNS))
            cases = record(bench, servers, zygote, (scenario, version, sinks), turn)
            make_random("order", bench.seed, turn).shuffle(cases)
            # Each of them gets its turn, however short the time is.
            share_s = seconds / len(TURNS) / len(versions())
            turn_ends_s = max(started_s + share_s * (turn + 1), time.monotonic() + 0.5)
            done = 0
            for case in cases:
                if time.monotonic() > turn_ends_s:
                    break
                play(bench, servers, zygote, case)
                done += 1
            where = f"{scenario} on {version} to {sinks} sink{'s'[: sinks - 1]}"
            bench.say(f"{where}: started upon {done} of {len(cases)} different states")
            played[sinks] += done
            turn += 1
    bench.say(f"{sum(played.values())} power cuts ({played[2]} with two sinks): no record lost or half, no drink twice")


def replay(bench: Bench, case: Case) -> None:
    """A case without ``files`` is that in each state that a cut may leave."""
    with closing(Servers(bench)) as servers, closing(Zygote()) as zygote:
        cases = [case]
        if "files" not in case:
            cases = record(bench, servers, zygote, (case["scenario"], case["version"], case["sinks"]), 0)
            make_random("order", bench.seed, 0).shuffle(cases)
        for one in cases:
            play(bench, servers, zygote, one)


def record(bench: Bench, servers: Servers, zygote: Zygote, what: tuple[str, str, int], turn: int) -> list[Case]:
    """What a power cut may leave in ``what``: scenario, version and sinks; each state once."""
    scenario, version, sinks = what
    directory = bench.place("recorded")
    server, kegbot = servers.kegnet, servers.kegbot
    server.rows.clear()
    server.refused.clear()
    server.stored_s.clear()
    kegbot.reset()
    device = Device(directory / "root", server.url(version), bench.authority)
    files = {} if scenario == "pour" else _spooled()
    for name, data in files.items():
        (device.spool / name).write_bytes(data)
    if sinks == 2:
        _share(bench, directory, device, kegbot)
    operations = list(_trace(device, zygote, scenario, directory / "trace"))
    disk, chance = Disk(files), make_random("states", bench.seed, turn)
    promised = {name: data.decode() for name, data in files.items()}
    cases: dict[object, Case] = {}
    for operation in operations:
        if scenario == "pour" and operation.fd == 1 and operation.data.strip():
            # It says the name once the record is safe.
            path = Path(os.fsdecode(operation.data.strip()))
            promised[path.name] = path.read_text()
        elif not disk.apply(operation):
            continue
        rows = sorted(row for row, at_s in server.stored_s.items() if at_s <= operation.at_s)
        drinks = kegbot.drinks(operation.at_s)
        for state in disk.states(chance):
            key = frozenset(state.items()), tuple(rows), tuple(drinks), tuple(promised)
            if key not in cases:
                cases[key] = {
                    "scenario": scenario,
                    "version": version,
                    "sinks": sinks,
                    "uuid": device.uuid,
                    "after": f"{operation.call} {' '.join(operation.paths)}",
                    "files": _as_text(state),
                    "rows": rows,
                    "drinks": drinks,
                    "promised": dict(promised),
                }
    if faults := _missing(disk, device):
        raise RuntimeError(f"the recording is not what happened: {faults}")
    shutil.rmtree(directory)
    return list(cases.values())


def play(bench: Bench, servers: Servers, zygote: Zygote, case: Case) -> None:
    """Start upon the state; `ViolationError` when a promised record is not where it belongs in the end."""
    directory = bench.place("powercut")
    version, uuid, fans_out = case["version"], case["uuid"], case["sinks"] == 2
    server, kegbot = servers.kegnet, servers.kegbot
    device = Device(directory / "root", server.url(version), bench.authority, uuid)
    _build(device.spool, case["files"])
    server.rows = dict.fromkeys(case["rows"], 1)
    server.refused = {f"{uuid},0,{POISON},8123,{ONE_MS}"}
    if fans_out:
        kegbot.reset(case["drinks"])
        _share(bench, directory, device, kegbot)
    ledger = Ledger(device.spool, was_killed=True, fans_out=fans_out)
    for name, text in case["promised"].items():
        ledger.add(name, text.encode(), _identity(uuid, version, text))
    for path, text in case["files"].items():
        if path.startswith(OWN):
            continue
        if path.startswith(".") or path.endswith(".tmp"):
            ledger.add_foreign(path)
        elif "/" not in path and path not in case["promised"] and text is not None:
            # Not promised yet: whole it is a record, else it is to be rejected.
            ledger.add(path, text.encode("latin-1"), _identity(uuid, version, text) if text.endswith("\n") else None)
    child = zygote.start(device, "send")
    try:
        code = child.wait(STILL_S)
    except TimeoutError:
        raise ViolationError(f"after {case['after']}: send does not end; {directory} is kept", case) from None
    faults = ledger.faults(server)
    if fans_out:
        faults += kegbot.faults(uuid, pours_in(ledger))
    if code not in (0, 65):
        faults.append(f"send ends with {code}: {device.tail()}")
    if faults:
        raise ViolationError(f"after {case['after']}: {'; '.join(faults[:5])}; {directory} is kept", case)
    shutil.rmtree(directory)


def _share(bench: Bench, directory: Path, device: Device, kegbot: Kegbot) -> None:
    """Make it a device with two sinks, and as root with two users."""
    add_kegbot(device, kegbot)
    give_away(device, (bench.directory, directory))
    for path in device.spool.iterdir():
        if path.is_file() and not path.name.startswith("."):
            give_to_producer(path)


def _spooled() -> dict[str, bytes]:
    lines = (
        f"0,{POISON},8123,{ONE_MS}\n",
        f"0,586,8123,{ONE_MS + 1}\n",
        f"0,586,8123,{ONE_MS + 1}\n",
        "0,0,0,0\n",
        f"28-0316a2795c5b,3875,{ONE_MS + 2}\n",
        f"0,587,8123,{ONE_MS + 3}\n",
    )
    return {f"0-{index}.{'reading' if '28-' in line else 'pour'}": line.encode() for index, line in enumerate(lines)}


def _identity(uuid: str, version: str, text: str) -> str | None:
    return None if text == "0,0,0,0\n" else identify(uuid, version, text.removesuffix("\n"))


def _trace(device: Device, zygote: Zygote, scenario: str, trace: Path) -> Iterator[Operation]:
    """What the program did in the spool."""
    commands = [[scenario]]
    if scenario == "pour":
        commands = [["pour", "--pin=0", f"--pulses={n}", "--elapsed-ms=8123", f"--started-ms={ONE_MS}"] for n in (1, 2)]
    for command in commands:
        child = zygote.start(device, *command, strace=["-o", str(trace), *STRACE])
        if scenario == "run":
            wait_until(lambda: not waiting(device), STILL_S)
            os.kill(child.pid, signal.SIGTERM)
        child.wait(STILL_S)
        yield from read_trace(trace.read_bytes(), device.spool)


def _missing(disk: Disk, device: Device) -> list[str]:
    """What of the recorded end is not in the directory, or the other way round."""
    there = {str(path.relative_to(device.spool)) for path in device.spool.rglob("*")}
    return sorted(there ^ disk.names())


def _as_text(state: State) -> dict[str, str | None]:
    return {path: None if data is None else data.decode("latin-1") for path, data in state.items()}


def _build(spool: Path, files: dict[str, str | None]) -> None:
    for path, text in sorted(files.items(), key=lambda item: (item[1] is not None, item[0])):
        if text is None:
            (spool / path).mkdir(0o700 if path.startswith(OWN) else 0o750)
        else:
            (spool / path).write_bytes(text.encode("latin-1"))
            os.utime(spool / path, (LONG_AGO_S, LONG_AGO_S))
