"""The walk of somebody with many bars, by the README and the manual pages alone.

They enrol, rename, revoke, replace, rotate, back up, lose the hub, restore it, give it another name, move it to
PostgreSQL and back, and look after it. Pours go on, and nothing that was acknowledged is missing at the end.
"""

import csv
import itertools
import json
import shutil
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ..support.pages import README, plain
from ..support.postgresql import PostgreSQL
from ..support.preloaded import Preloaded
from ..support.program import Program
from ..support.waits import wait_until
from .walk import PATIENCE_S, Desk, free_port, printed_command, set_in

DELIVERS = "delivers from"
ANSWERS = "The hub answers at "
HANDS = 4
"""How many devices are seen to at once."""
Pour = tuple[str, int]
"""The device's name, and the pulses by which it is known again."""


class Bar:
    """A device of theirs: a directory, and what was poured there."""

    def __init__(self, program: Preloaded, name: str, directory: Path) -> None:
        self.name = name
        self.desk = Desk(program, directory)
        self.root = directory
        self.poured: dict[str, Pour] = {}
        self.daemon: Program | None = None

    def make_spool(self) -> None:
        """As every command asks for it where neither service/install nor the daemon has made it."""
        assert "make it" in self.desk.do("send", code=75)
        (self.root / "spool").mkdir()

    def pour(self, pulses: int) -> None:
        """Put one into the spool."""
        started_ms = time.time_ns() // 1_000_000
        temp = self.root / "spool" / f".{pulses}.tmp"
        temp.write_text(f"0,{pulses},8123,{started_ms}\n")
        temp.rename(temp.with_name(f"{pulses}.pour"))
        self.poured[f"{pulses}.pour"] = (self.name, pulses)

    def waiting(self) -> set[Pour]:
        """What was not acknowledged yet."""
        return {self.poured[path.name] for path in (self.root / "spool").glob("*.pour")}

    def acknowledged(self) -> set[Pour]:
        """What has left the spool; nothing of it was refused."""
        assert list((self.root / "spool").glob("rejected/*")) == []
        return set(self.poured.values()) - self.waiting()

    def send(self) -> None:
        """Deliver all that waits: the daemon does so, or else a ``send``."""
        if self.daemon is None:
            assert self.desk.do("send").endswith("0 rejected, 0 left in the spool\n")
        wait_until(lambda: not self.waiting(), lambda: f"{self.name} keeps {self.waiting()}", PATIENCE_S)

    def run(self) -> None:
        """Deliver from now on."""
        self.daemon = self.desk.start("run", DELIVERS)


class Operator:
    """Somebody with ``bars``, some of which are real daemons, and a hub in ``directory``."""

    def __init__(self, program: Preloaded, directory: Path, count: int) -> None:
        self.directory = directory
        self.hub = directory / "hub"
        self.port = free_port()
        self.desk = Desk(program, directory / "desk", self.hub)
        self.bars = [Bar(program, f"bar {number}", directory / f"bar-{number}") for number in range(1, count + 1)]
        self._pulses = itertools.count(1)
        self._hub: Program | None = None

    def start_hub(self) -> None:
        self._hub = self.desk.start("hub run", ANSWERS)

    def stop_hub(self) -> None:
        assert self._hub is not None
        assert self._hub.stop()[0] == 0

    def at_each(self, work: Callable[[Bar], object], bars: Sequence[Bar] | None = None) -> None:
        """Do ``work`` at each device."""
        with ThreadPoolExecutor(HANDS) as pool:
            list(pool.map(work, self.bars if bars is None else bars))

    def pour(self) -> None:
        """One at each."""
        for bar in self.bars:
            bar.pour(next(self._pulses))

    def acknowledged(self) -> set[Pour]:
        """What devices have removed because the hub has it."""
        return {pour for bar in self.bars for pour in bar.acknowledged()}

    def stored(self) -> Counter[Pour]:
        """How often the hub has each pour, by the table that it writes for a spreadsheet."""
        tables = self.directory / f"tables-{time.monotonic_ns()}"
        self.desk.do("hub export --csv DIR", {"DIR": tables})
        names = {row["uuid"]: row["name"] for row in _rows(tables / "devices.csv")}
        return Counter((names[row["device"]], int(row["pulses"])) for row in _rows(tables / "pours.csv"))

    def answers_as(self, host: str) -> bool:
        """Whether the hub that runs has a certificate for ``host``."""
        try:
            self.ask("/health", host=host)
        except httpx.ConnectError:
            return False
        return True

    def ask(self, path: str, token: str = "", host: str = "localhost") -> str:
        """What the hub answers to a program that trusts its CA."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        context = ssl.create_default_context(cafile=self.hub / "ca.crt")
        address = f"https://{host}:{self.port}{path}"
        answer = httpx.get(address, headers=headers, verify=context, trust_env=False, timeout=PATIENCE_S)
        return answer.raise_for_status().text

    def devices(self) -> set[str]:
        """The names of those that may send."""
        return {
            device["name"]
            for device in json.loads(self.desk.do("hub devices list --json"))
            if device["revoked_ms"] is None
        }

    def close(self) -> None:
        for desk in [self.desk, *(bar.desk for bar in self.bars)]:
            desk.close()


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=[5, pytest.param(50, marks=pytest.mark.slow)])
def operator(request: pytest.FixtureRequest, preloaded: Preloaded, tmp_path: Path) -> Iterator[Operator]:
    operator = Operator(preloaded, tmp_path, request.param)
    yield operator
    operator.close()


def test_an_operator_of_many_devices_needs_no_more_than_the_pages_and_loses_nothing(
    operator: Operator, postgresql_server: PostgreSQL
) -> None:
    enrol_all(operator)
    monitor(operator)
    rename_one(operator)
    revoke_and_replace(operator)
    missing = lose_the_hub_and_restore_it_from_before_a_rotation(operator)
    name_the_hub_anew(operator)
    move_house_and_back(operator, postgresql_server.make_database())
    operator.pour()
    operator.at_each(Bar.send)

    stored = operator.stored()
    assert operator.acknowledged() - missing == set(stored)
    assert set(stored.values()) == {1}
    assert "Every record verifies" in operator.desk.do("hub verify")
    ledger = operator.directory / "ledger"
    operator.desk.do("hub export FILE", {"FILE": ledger})
    own = {"FILE": ledger, "CA.CRT": operator.bars[0].root / "conf" / "ca.crt"}
    operator.bars[0].desk.do("hub verify-export FILE --ca CA.CRT", own)


def enrol_all(operator: Operator) -> None:
    operator.desk.do("hub init --host NAME", {"NAME": "localhost"})
    for name, value in {"bind": "127.0.0.1", "port": str(operator.port)}.items():
        set_in(operator.hub / "hub.conf", name, value)
    operator.start_hub()
    names = operator.directory / "names.txt"
    names.write_text("".join(f"{bar.name}\n" for bar in operator.bars))
    lines = operator.desk.do("hub invite --names FILE --csv", {"FILE": names})
    commands = {row["name"]: row["command"] for row in csv.DictReader(lines.splitlines())}
    operator.at_each(lambda bar: bar.desk.follow(commands[bar.name]))
    assert json.loads(operator.desk.do("hub invitations --json")) == []
    for bar in operator.bars[:3]:
        bar.run()
    for bar in operator.bars[3:]:
        bar.make_spool()
    operator.pour()
    operator.at_each(Bar.send)


def monitor(operator: Operator) -> None:
    assert "https://HUB:8443/health" in README
    assert json.loads(operator.ask("/health"))["status"] == "up"
    token = operator.desk.do("hub token make NAME --role read", {"NAME": "prometheus"}).strip()
    metrics = operator.ask("/metrics", token)
    assert all(bar.name in metrics for bar in operator.bars)
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        operator.ask("/metrics")
    assert operator.devices() == {bar.name for bar in operator.bars}
    assert operator.desk.do("hub devices list --silent 1h") == ""
    running, other = operator.bars[0], operator.bars[-1]
    assert json.loads(running.desk.do("status --json"))["waiting"] == 0
    other.desk.do("status", code=3)


def rename_one(operator: Operator) -> None:
    bar = operator.bars[1]
    name = f"{bar.name}, cellar"
    operator.desk.do("hub devices rename NAME NEW_NAME", {"NAME": bar.name, "NEW_NAME": name})
    bar.name = name
    bar.poured = {file: (name, pulses) for file, (_, pulses) in bar.poured.items()}


def revoke_and_replace(operator: Operator) -> None:
    """One was stolen and is found again with what was poured meanwhile, one got another card."""
    stolen, reflashed = operator.bars[3], operator.bars[4]
    operator.desk.do("hub devices revoke NAME", {"NAME": stolen.name})
    operator.pour()
    stolen.desk.do("send", code=77)
    operator.at_each(Bar.send, [bar for bar in operator.bars if bar is not stolen])
    shutil.rmtree(reflashed.root)
    for bar in (stolen, reflashed):
        line = operator.desk.do("hub invite --replace NAME", {"NAME": bar.name})
        bar.desk.follow(printed_command(line))
    reflashed.make_spool()
    operator.at_each(Bar.send, [stolen, reflashed])
    assert operator.devices() == {bar.name for bar in operator.bars}


def lose_the_hub_and_restore_it_from_before_a_rotation(operator: Operator) -> set[Pour]:
    """What was acknowledged after the backup, which a restored hub lacks, as the page says."""
    backup = operator.directory / "hub.tar"
    before = operator.acknowledged()
    operator.pour()
    operator.desk.do("hub backup FILE", {"FILE": backup})
    operator.at_each(lambda bar: bar.desk.do("rotate-key"))
    operator.at_each(Bar.send)
    acknowledged = operator.acknowledged()
    operator.stop_hub()
    shutil.rmtree(operator.hub)
    operator.pour()

    said = operator.desk.do("hub restore FILE", {"FILE": backup})
    assert "rotate-key" in said
    operator.start_hub()
    operator.bars[-1].desk.do("send", code=77)
    operator.at_each(lambda bar: bar.desk.do("rotate-key"))
    operator.at_each(Bar.send)
    stored = operator.stored()
    missing = acknowledged - set(stored)
    assert "what was acknowledged after the backup is missing" in " ".join(plain("kegnet-hub.8").split())
    assert not missing & before
    return missing


def name_the_hub_anew(operator: Operator) -> None:
    """No device is touched; one gets the new name."""
    name, bar = "127.0.0.1", operator.bars[-1]
    set_in(bar.root / "conf" / "client.conf", "serviceBaseURL", f"https://{name}:{operator.port}/rest/v3")
    operator.pour()
    bar.desk.do("send", code=77)
    operator.desk.do("hub certificate --host NEW.NAME", {"NEW.NAME": name})
    wait_until(lambda: operator.answers_as(name), "the hub does not take its new certificate", PATIENCE_S)
    operator.at_each(Bar.send)


def move_house_and_back(operator: Operator, url: str) -> None:
    for target in (url, f"sqlite:///{operator.hub / 'moved.db'}"):
        operator.pour()
        operator.desk.do("hub migrate --to URL", {"URL": target})
        operator.stop_hub()
        operator.start_hub()
        operator.at_each(Bar.send)
