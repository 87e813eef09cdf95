"""Two devices, one database, one operator, by the commands alone: sign, push, change, break, run a command, revoke."""

import json
import os
import re
import subprocess
import textwrap
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ..support.operators import MAC_ID, Operator
from ..support.pages import README
from ..support.pouchdb import PouchDB
from ..support.program import COMMAND, Program
from ..support.waits import wait_until

TELL = """
def main():
    log("version %s of %s", VERSION, __name__)
    while not should_quit():
        time.sleep(0.05)
    log("version %s quits", VERSION)
"""


def tell(version: int) -> str:
    return f"import time\nVERSION = {version}\n{TELL}"


class Device:
    """A device of its own, and its runner."""

    def __init__(self, directory: Path, number: int, server: PouchDB, database: str, operator: Operator) -> None:
        self.mac_id = MAC_ID + number
        self.root = directory / str(number)
        self.spool = self.root / "spool"
        (self.root / "conf").mkdir(parents=True)
        self.spool.mkdir()
        (self.root / "conf/allowed_signers").write_text(operator.allowed_line())
        (self.root / "conf/client.conf").write_text(
            f"[KegNet]\nuuid = {uuid.UUID(int=number)}\nserviceBaseURL = https://hub.example/rest/v3\n"
            f"[Runner]\nurl = {server.url}\ndatabase = {database}\ndirectory = runner\nmacId = {self.mac_id}\n"
            "allowSpool = yes\n" + ("user = taproom\n" if number == 2 else "")
        )
        self.runner: Program | None = None

    def start(self) -> Program:
        self.runner = Program([COMMAND, "runner", "--root", self.root], dict(os.environ))
        return self.runner

    def close(self) -> None:
        if self.runner is not None:
            self.runner.stop()
            self.runner.close()


class Lab:
    """The operator's desk."""

    def __init__(self, directory: Path, server: PouchDB, operator: Operator) -> None:
        self.directory, self.server, self.operator = directory, server, operator
        self.database = f"lab-{uuid.uuid4().hex[:8]}/pis"
        self.where = ["--url", server.url, "--database", self.database, "--login", str(server.login_file)]
        self.devices = [Device(directory, number, server, self.database, operator) for number in (1, 2)]
        self.call("database", "init", *self.where)

    def call(self, *words: str | Path, code: int = 0) -> str:
        done = subprocess.run([COMMAND, "module", *words], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, done.stderr
        return done.stdout

    def add_devices(self) -> None:
        for device in self.devices:
            words = [str(COMMAND), "runner", "identity", "--json", "--root", str(device.root)]
            identity = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            file = self.directory / f"{device.mac_id}.json"
            file.write_text(identity)
            self.call("database", "add-device", file, *self.where)

    def operate(self, *words: str | Path) -> str:
        """An operator's command of the README, with the key and the database of this one."""
        return self.call(*words, *self.where)

    def push(self, code: str, *words: str, name: str = "tap", to: str = "all") -> str:
        source = self.directory / f"{name}.py"
        source.write_text(code)
        signed = self.directory / f"{name}.json"
        signed.write_text(self.call("sign", source, "--key", self.operator.key, "--to", to, *words))
        return self.call("push", signed, *self.where).split()[0].rstrip(":")

    def states(self) -> list[dict[str, Any]]:
        return sorted(json.loads(self.call("status", "--json", *self.where)), key=lambda one: one["_id"])


@pytest.fixture
def lab(tmp_path: Path, pouchdb_server: PouchDB, operator: Operator) -> Iterator[Lab]:
    lab = Lab(tmp_path, pouchdb_server, operator)
    lab.add_devices()
    try:
        yield lab
    finally:
        for device in lab.devices:
            device.close()


def on_both(lab: Lab, said: str) -> None:
    for device in lab.devices:
        assert device.runner is not None
        device.runner.log.wait_for(said, timeout_s=60)


def test_one_document_runs_changes_breaks_and_stops_on_two_devices(lab: Lab) -> None:
    for device in lab.devices:
        device.start()
    identifier = lab.push(tell(1), "--sequence", "1")
    on_both(lab, "[tap] version 1 of main")
    lab.push(tell(2), "--sequence", "2")
    on_both(lab, "[tap] version 1 quits")
    on_both(lab, "[tap] version 2 of main")
    lab.call("remove", identifier, *lab.where)
    on_both(lab, "[tap] version 2 quits")
    wait_until(lambda: all(not one["programs"] for one in lab.states()), "the programs are still told")


def test_what_breaks_goes_back_to_the_last_good_one_and_says_so(lab: Lab) -> None:
    for device in lab.devices:
        device.start()
    lab.push("import time\n" + tell(1).replace("while", "return\n    while"), "--sequence", "1")
    on_both(lab, "version 1 of main")
    wait_until(lambda: {row["state"] for one in lab.states() for row in one["programs"]} == {"finished"}, "it ends")
    lab.push("def main():\n    raise RuntimeError('no keg')", "--sequence", "2")
    on_both(lab, "RuntimeError: no keg")
    on_both(lab, "2 broke (exit 1); 1 runs again")
    for device in lab.devices:
        assert device.runner is not None
        device.runner.log.wait_for("version 1 of main", count=2)

    def rows() -> set[tuple[int, str]]:
        return {(row["sequence"], row["note"]) for one in lab.states() for row in one["programs"]}

    wait_until(lambda: rows() == {(1, "2 broke (exit 1); 1 runs again")}, "it is not told")


def test_a_command_runs_once_on_each_and_its_result_comes_back(lab: Lab) -> None:
    for device in lab.devices:
        device.start()
    to = [word for device in lab.devices for word in ("--to", str(device.mac_id))]
    said = lab.call("run", *to, "--key", lab.operator.key, *lab.where, "--", "echo", "hi")
    assert said == "hi\nhi\n"
    for device in lab.devices:
        assert device.runner is not None
        assert len(device.runner.log.lines("runs: ('echo', 'hi')")) == 1


def test_revoking_the_signer_stops_everything_of_theirs(lab: Lab) -> None:
    device = lab.devices[0]
    runner = device.start()
    lab.push(tell(1))
    runner.log.wait_for("version 1 of main", timeout_s=60)
    lab.call("revoke", lab.operator.public, "--root", device.root)
    runner.log.wait_for("version 1 quits")
    wait_until(lambda: lab.states()[0]["programs"][0]["state"] == "refused", "it is not told")


def test_a_runner_that_was_killed_runs_what_it_ran_without_its_database(lab: Lab) -> None:
    device = lab.devices[0]
    runner = device.start()
    lab.push(tell(7))
    runner.log.wait_for("version 7 of main", timeout_s=60)
    runner.process.kill()
    runner.process.wait()
    runner.close()
    config = device.root / "conf/client.conf"
    config.write_text(config.read_text().replace(lab.server.url, "http://127.0.0.1:9"))
    device.start().log.wait_for("version 7 of main", timeout_s=60)


def test_a_device_without_a_server_is_found_and_takes_the_one_that_is_announced(lab: Lab) -> None:
    device = lab.devices[0]
    config = device.root / "conf/client.conf"
    config.write_text(config.read_text().replace(f"url = {lab.server.url}", "discovery = yes"))
    lab.push(tell(1))
    runner = device.start()
    runner.log.wait_for("one that is announced by a signature is waited for", timeout_s=60)

    def discover(*words: str | Path) -> str:
        return lab.call("discover", "--broadcast", "127.255.255.255", "--wait", "1", "--json", *words)

    wait_until(lambda: f'"mac_id": "{device.mac_id}"' in discover(), "it does not answer", 60)
    discover("--announce", lab.server.url, "--key", lab.operator.key, "--to", str(device.mac_id))
    runner.log.wait_for("version 1 of main", timeout_s=60)
    runner.stop()
    runner.close()
    # It is kept.
    device.start().log.wait_for("version 1 of main", timeout_s=60)


def producer_of_the_readme() -> str:
    """Its tap.py, word for word."""
    text = README.partition("`tap.py` is the producer")[2]
    block = re.search(r"(?:^    .*\n|^\n)+", text.partition("\n\n")[2], re.MULTILINE)
    assert block is not None
    return textwrap.dedent(block[0]).partition("kegnet-client module")[0].strip() + "\n"


@pytest.mark.slow  # a version is good after its thirty seconds
def test_an_operator_who_read_the_readme_signs_pushes_changes_breaks_runs_and_revokes(lab: Lab) -> None:
    for device in lab.devices:
        device.start()
    file, signed = lab.directory / "tap.py", lab.directory / "tap.json"
    to = [word for device in lab.devices for word in ("--to", str(device.mac_id))]

    def sign_and_push(code: str) -> None:
        file.write_text(code)
        second = int(time.time())
        wait_until(lambda: int(time.time()) > second, "the clock stands")
        signed.write_text(lab.call("sign", file, "--key", lab.operator.key, *to, "--spool"))
        assert lab.operate("push", signed).startswith("tap: tap ")

    def has_poured(device: Device) -> bool:
        words = [str(COMMAND), "module", "log", str(device.mac_id), *lab.where]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
        return "tap: poured" in done.stdout  # it fails as long as there is none

    def status(*words: str) -> None:
        wait_until(lambda: all(lab.operate("status").count(word) >= 2 for word in words), f"not {words} on both", 90)

    first = producer_of_the_readme()
    sign_and_push(first)
    on_both(lab, "[tap] poured: ")
    for device in lab.devices:
        assert "8123" in next(device.spool.glob("*.pour")).read_text()
        wait_until(partial(has_poured, device), "its log is not in the database", 60)
    status("  ann  running  ")

    changed = first.replace("poured: %s", "poured anew: %s")
    sign_and_push(changed)
    on_both(lab, "[tap] poured anew: ")
    status("  ann  running  ")

    sign_and_push("def main():\n    raise RuntimeError('no keg')\n")
    on_both(lab, "RuntimeError: no keg")
    on_both(lab, "runs again")
    for device in lab.devices:
        assert device.runner is not None
        device.runner.log.wait_for("[tap] poured anew: ", count=2, timeout_s=60)
    status("last exit: 1", "broke (exit 1)", "runs again")

    assert lab.call("run", *to, "--key", lab.operator.key, *lab.where, "--", "echo", "hi") == "hi\nhi\n"

    for device in lab.devices:
        lab.call("revoke", lab.operator.public, "--root", device.root)
    status("  ann  refused  ", "not one that this device allows")
    for device in lab.devices:
        wait_until(partial(runs_nothing, device), "a box of theirs is still there")
    # Nothing of theirs runs any more, not even what is new.
    lab.call("run", *to, "--key", lab.operator.key, "--wait", "3", *lab.where, "--", "echo", "hi", code=75)


def runs_nothing(device: Device) -> bool:
    """Whether a device's runner has no process that it started."""
    assert device.runner is not None
    threads = Path(f"/proc/{device.runner.process.pid}/task").iterdir()
    return not any((thread / "children").read_text().strip() for thread in threads)
