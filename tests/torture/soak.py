"""A month of a busy bar in less than an hour: a million pours, a temperature a minute, and all that goes wrong.

Time is compressed by the producers: a simulated day is as long as the time that was asked for allows. The daemon's
own thermometer reads as often as it can. Each day brings an outage, a slow link, a server that restarts, a reload;
the daemon itself is started anew once a week. What it takes up is looked at every second, and has to be in the end
what it was at first.

REST v2 carries a record a request, so it gets a share of the pours and v3 the rest.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bench import ONE_MS, Bench, Daemon, Device, Figures, ViolationError, figures, make_random, versions, wait_until
from ledger import identify
from patience import STILL_S, wait_while_falling
from proxy import Proxy
from server import Server

DAYS = 30
MINUTES_A_DAY = 24 * 60
POURS = 1_000_000
POURS_A_SECOND = {"v2": 150, "v3": 1000}
"""In less time than a million takes at this rate there are fewer, and fewer readings with them."""
SHARES = {"v2": 0.15, "v3": 0.85}
SENSOR = "28-0316a2795c5b"
MAX_WAITING = 20_000
"""Producers hold back then: what is measured is the way, not the pile."""
MORE_MEMORY_KIB = 12 * 1024
MORE_DESCRIPTORS = 4
MORE_THREADS = 2
DROPPED = re.compile(r"(warm-)?[0-9]+\.(pour|reading)")
TROUBLES = ("outage", "slow link", "restart", "500", "503", "lose", "hang", "reset", "reload")


@dataclass(slots=True)
class Watch:
    """What the daemon takes up, while it runs: at first, at most, at last."""

    daemon: Daemon
    first: Figures | None = None
    most: Figures | None = None
    last: Figures | None = None

    def look(self) -> None:
        try:
            now = figures(self.daemon.pid)
        except (OSError, KeyError):
            return  # it is being started anew
        self.first, self.last = self.first or now, now
        most = self.most or now
        self.most = Figures(
            max(now.rss_kib, most.rss_kib),
            max(now.descriptors, most.descriptors),
            max(now.threads, most.threads),
        )

    def faults(self) -> list[str]:
        if not (self.first and self.last):
            return ["the daemon was never seen"]
        more = (
            self.last.rss_kib - self.first.rss_kib > MORE_MEMORY_KIB,
            self.last.descriptors - self.first.descriptors > MORE_DESCRIPTORS,
            self.last.threads - self.first.threads > MORE_THREADS,
        )
        return [f"the daemon took {self.first} at first, {self.last} in the end"] if any(more) else []


@dataclass(slots=True)
class Month:
    """What is dropped on which day; identities are kept as hashes, for there are a million of them."""

    device: Device
    version: str
    chance: Random
    pours_a_day: int
    readings_a_day: int
    expected: set[int] = field(default_factory=set)
    count: int = 0

    def day(self) -> Iterator[str]:
        """The day's files, each as the canonical line in it."""
        kinds = [True] * self.pours_a_day + [False] * self.readings_a_day
        self.chance.shuffle(kinds)
        for is_pour in kinds:
            self.count += 1
            at_ms = ONE_MS + self.count
            # No multiple of what the server never takes.
            line = (
                f"{self.count % 4},{self.count * 13 % 2600 + 1},8123,{at_ms}" if is_pour else f"{SENSOR},3875,{at_ms}"
            )
            yield line

    def drop(self, name: str, line: str) -> None:
        """Into the spool with it, under ``name`` and the suffix of its kind."""
        suffix = "reading" if line.startswith(SENSOR) else "pour"
        temp = self.device.spool / f".{name}.tmp"
        temp.write_text(line + "\n")
        temp.rename(self.device.spool / f"{name}.{suffix}")
        self.expected.add(self.mark(line))

    def mark(self, line: str) -> int:
        """What ``line`` is known by."""
        return hash(identify(self.device.uuid, self.version, line))


def run(bench: Bench, seconds: float) -> None:
    spoken = versions()
    shares = sum(SHARES[version] for version in spoken)
    for version in spoken:
        play(bench, {"version": version, "seconds": seconds * SHARES[version] / shares})


def replay(bench: Bench, case: dict[str, Any]) -> None:
    play(bench, case)


def play(bench: Bench, case: dict[str, Any]) -> None:
    """`ViolationError` when a record is missing or something grew."""
    version, seconds = case["version"], case["seconds"]
    directory = bench.place("soak")
    server = Server(bench.authority)
    proxy = Proxy(server.port)
    device = Device(directory / "root", server.url(version, proxy.port), bench.authority)
    device.configure(ping_interval_s="1")
    device.plug(SENSOR, 23125)
    scale = min(1.0, seconds * POURS_A_SECOND[version] / POURS)
    chance = make_random("soak", bench.seed, version)
    month = Month(device, version, chance, round(POURS / DAYS * scale), round(MINUTES_A_DAY * scale))
    watch = Watch(Daemon(device))
    over = threading.Event()
    watcher = threading.Thread(target=_look_every_second, args=(watch, over))
    try:
        faults = _live(bench, month, server, proxy, watch, watcher, seconds)
    finally:
        over.set()
        if watcher.is_alive():
            watcher.join()
        watch.daemon.kill()
        proxy.close()
        server.stop()
    bench.say(f"{version}: {month.count} records in {server.requests} requests; {_told(watch)}")
    if faults:
        raise ViolationError(f"{'; '.join(faults)}; {directory} is kept", case)


def _live(
    bench: Bench,
    month: Month,
    server: Server,
    proxy: Proxy,
    watch: Watch,
    watcher: threading.Thread,
    seconds: float,
) -> list[str]:
    device, chance = month.device, month.chance
    day_s = seconds / DAYS
    if faults := _warm_up(month, server):
        return faults
    watcher.start()
    for day in range(1, DAYS + 1):
        ends_s = time.monotonic() + day_s
        trouble = threading.Thread(target=_bring, args=(chance.choice(TROUBLES), day_s / 4, server, proxy, watch))
        trouble.start()
        dropped_s = time.monotonic()
        before = month.count
        lines = list(month.day())
        for number, line in enumerate(lines):
            dropped = before + number
            month.drop(f"{dropped}", line)
            if number % 500 == 499:
                # Evenly over the day, and never more than can be carried.
                if not wait_while_falling(lambda: len(_dropped_names(device)), MAX_WAITING):
                    trouble.join()
                    return [_standstill(device), *_lost(month, server)]
                due_s = dropped_s + day_s * 0.9 * number / len(lines)
                time.sleep(max(0.0, due_s - time.monotonic()))
        trouble.join()
        if day % 7 == 0 and day < DAYS - 7:
            watch.daemon.stop()
            watch.daemon = Daemon(device)
        if day % 5 == 0:
            bench.say(f"{month.version}: day {day}, {len(server.rows)} of {month.count} at the server; {_told(watch)}")
        time.sleep(max(0.0, ends_s - time.monotonic()))
    server.start()
    server.turn("accept")
    return _settle(month, server, watch)


def _warm_up(month: Month, server: Server) -> list[str]:
    """A day's worth through everything once, so that what is kept for good is there."""
    lines = list(month.day())
    for number, line in enumerate(lines):
        month.drop(f"warm-{number}", line)
    if not wait_while_falling(lambda: len(_dropped_names(month.device)), 1):
        return [_standstill(month.device), *_lost(month, server)]
    return []


def _settle(month: Month, server: Server, watch: Watch) -> list[str]:
    """What is wrong in the end: when all is delivered, or nothing moves any more."""

    def reload() -> None:
        if watch.daemon.is_running():
            watch.daemon.reload()

    def count() -> int:
        return len(_dropped_names(month.device)) if watch.daemon.is_running() else 0

    def is_at_rest() -> bool:
        watch.look()
        return not watch.faults()

    faults = [] if wait_while_falling(count, 1, nudge=reload) else [_standstill(month.device)]
    wait_until(is_at_rest, STILL_S)  # the connections of the last moments may still be ending
    faults += watch.faults()
    if not watch.daemon.is_running():
        faults.append(f"the daemon ended by itself: {month.device.tail()}")
    faults += _lost(month, server)
    rejected = month.device.spool / "rejected"
    if rejected.exists() and any(path.name.endswith(".pour") for path in rejected.iterdir()):
        faults.append("pours stand in rejected/ that the server never refused")
    return faults


def _standstill(device: Device) -> str:
    return f"{len(_dropped_names(device))} records stand in the spool, and none went for {STILL_S:g} s: {device.tail()}"


def _lost(month: Month, server: Server) -> list[str]:
    """The records that are nowhere: a record that still stands in the spool is late, not lost."""
    # The spool first: a record is at the server before it leaves the spool.
    standing = set()
    for name in _dropped_names(month.device):
        with suppress(FileNotFoundError):
            line = (month.device.spool / name).read_text("utf-8").rstrip("\n")
            standing.add(month.mark(line))
    with server.lock:
        rows = {hash(row) for row in server.rows}
    lost = len(month.expected - rows - standing)
    return [f"{lost} of {len(month.expected)} records are neither in the spool nor at the server"] if lost else []


def _bring(trouble: str, seconds: float, server: Server, proxy: Proxy, watch: Watch) -> None:
    """What goes wrong today, for that long."""
    match trouble:
        case "outage":
            server.stop()
            time.sleep(seconds)
            server.start()
        case "restart":
            server.stop()
            server.start()
        case "slow link":
            proxy.delay_s = 0.05
            time.sleep(seconds)
            proxy.delay_s = 0.0
        case "reload":
            watch.daemon.reload()
        case mode:
            server.turn(mode)
            time.sleep(seconds)
            server.turn("accept")
    # Minutes of backoff would be days here.
    watch.daemon.reload()


def _look_every_second(watch: Watch, over: threading.Event) -> None:
    while not over.wait(1.0):
        watch.look()


def _dropped_names(device: Device) -> list[str]:
    """What stands in the spool of what was dropped there; the daemon's own readings are named otherwise."""
    return [name for name in device.waiting() if DROPPED.fullmatch(name)]


def _told(watch: Watch) -> str:
    return f"at first {watch.first}; at most {watch.most}; now {watch.last}"
