"""Two sinks, KegNet and a Kegbot server, and a daemon that is killed again and again while either is away.

As root, the daemon and the producer are two other users, of one group: what passes for root need not for them. In the
end each pour has to be at each of the two, once: a Kegbot server makes a drink of every post. A post that a kill leaves
in doubt waits for a minute, as it does in life, so that the end of a run takes some.
"""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from bench import ONE_MS, Bench, Daemon, Device, ViolationError, make_random, version_of, versions
from kegnet_client.config.edit import fill
from kegnet_client.core.records import Pour
from kegnet_client.core.wire.kegbot_api import nonce_of
from kegnet_client.sinks.kegbot_section import KEGBOT
from ledger import identify
from patience import STILL_S, wait_while_falling
from server import POISON, Server
from tests.net.server import Connection
from tests.net.server import Server as Sockets
from tests.sinks.kegbot_server import serve
from tests.support.clock import FakeClock
from tests.support.kegbot import KEY, KegbotModel
from tests.support.users import NOBODY, PRODUCER, find_modules, find_python

PROTECTED = Path("/proc/sys/fs/protected_hardlinks")
POURS = 4
"""Between one mishap and the next."""
LIVES_S = (0.3, 2.0)
"""How long nothing goes wrong: a random while, so there is nothing to wait for."""
KEGNET_MODES = ("500", "503", "lose", "hang", "reset")
DROP = 'umask 027; while read -r name line; do echo "$line" >".$name.tmp" && mv ".$name.tmp" "$name"; done'


class Kegbot:
    """The model of a Kegbot server, at an address: ``mode`` is ``up``, ``away``, or ``lose``, which loses answers."""

    def __init__(self, bench: Bench, chance: Random) -> None:
        self.mode = "up"
        self.model = KegbotModel(FakeClock(), chance)
        self._sockets = Sockets(bench.authority.context(), self._behave, shake_hands=False)
        self.url = f"https://localhost:{self._sockets.port}/api"

    def turn(self, mode: str) -> None:
        self.mode = mode
        if mode == "away":
            self._sockets.hang_up()

    def close(self) -> None:
        self._sockets.close()

    def _behave(self, connection: Connection) -> None:
        if self.mode == "away":
            connection.reset()
        else:
            connection.shake_hands()
            serve(connection, self.model, loses=lambda: self.mode == "lose")


class Bar:
    """A device that delivers to both, its daemon, and the producer of its pours."""

    def __init__(self, bench: Bench, directory: Path, server: Server, kegbot: Kegbot, version: str) -> None:
        self.server, self.kegbot = server, kegbot
        self._version = version
        self._is_root = os.geteuid() == 0
        self.device = Device(directory / "root", server.url(version), bench.authority)
        self.pours: list[Pour] = []
        conf = self.device.root / "conf"
        (conf / "kegbot-key").touch(0o600)
        (conf / "kegbot-key").write_text(KEY)
        file = conf / "client.conf"
        file.write_text(fill(file.read_text(), KEGBOT, {"api": kegbot.url, "ca_bundle": "conf/ca.crt"}))
        if self._is_root:
            self._give_away(bench.directory, directory)
        self.daemon = Daemon(self.device)

    def drop(self, count: int) -> None:
        lines = []
        for _ in range(count):
            number = len(self.pours) + 1
            pulses = number * POISON + 1  # none that the server never takes
            pour = Pour(number % 2, pulses, 8123, ONE_MS + number)
            self.pours.append(pour)
            lines.append(f"{number}.pour {_line(pour)}")
        who = PRODUCER if self._is_root else {}
        subprocess.run(
            ["/bin/sh", "-c", DROP], input="\n".join([*lines, ""]), text=True, cwd=self.device.spool, check=True, **who
        )

    def waiting(self) -> int:
        """How many files wait, in the spool and in the queues."""
        return sum(path.name.endswith(".pour") for path in self.device.spool.rglob("*"))

    def kill(self) -> None:
        self.daemon.kill()
        self.daemon = Daemon(self.device)

    def reload(self) -> None:
        if self.daemon.is_running():
            self.daemon.reload()

    def faults(self) -> list[str]:
        """What is not at each of them, once."""
        faults = [f"{path} was never refused" for path in self.device.spool.glob("**/rejected/*")]
        expected = {identify(self.device.uuid, self._version, _line(pour)) for pour in self.pours}
        faults += [f"{row!r} is not at the KegNet server" for row in sorted(expected - self.server.rows.keys())]
        drinks = Counter(pair for drink in self.kegbot.model.drinks.values() for pair in drink.series.split())
        for pour in self.pours:
            if (count := drinks[f"{nonce_of(pour, self.device.uuid)}:0"]) != 1:
                faults.append(f"{_line(pour)} is {count} drinks")
        if len(self.kegbot.model.drinks) > len(self.pours):
            faults.append("there are drinks that nobody poured")
        return faults

    def _give_away(self, *above: Path) -> None:
        variables = find_modules()
        python = find_python(NOBODY, variables)
        if python is None:
            raise RuntimeError("another user has no Python with the libraries of this one")
        self.device.program = [python, "-m", "kegnet_client.cli"]
        self.device.options = NOBODY
        self.device.variables |= variables
        for path in (self.device.root, *self.device.root.rglob("*")):
            os.chown(path, NOBODY["user"], NOBODY["group"])
        self.device.spool.chmod(0o1770)
        for directory in above:
            directory.chmod(0o755)


def run(bench: Bench, seconds: float) -> None:
    for number, _ in enumerate(versions()):
        play(bench, {"version": version_of(number), "number": number, "seconds": seconds / len(versions())})


def replay(bench: Bench, case: dict[str, Any]) -> None:
    play(bench, case)


def play(bench: Bench, case: dict[str, Any]) -> None:
    """`ViolationError` when a pour is not at each of the two, once."""
    directory = bench.place("sinks")
    chance = make_random("sinks", bench.seed, case["number"])
    if os.geteuid() != 0 or PROTECTED.read_text().strip() != "1":
        bench.say("all are one user, or hard links are not protected: what that would find is left out")
    server, kegbot = Server(bench.authority), Kegbot(bench, chance)
    bar = Bar(bench, directory, server, kegbot, case["version"])
    try:
        kills, faults = _live(bar, chance, case["seconds"])
    finally:
        bar.daemon.kill()
        kegbot.close()
        server.stop()
    if faults:
        raise ViolationError("; ".join(faults[:5]) + f"; {directory} is kept", case)
    bench.say(f"{case['version']}: {len(bar.pours)} pours, {kills} kills: each is at both, once")


def _live(bar: Bar, chance: Random, seconds: float) -> tuple[int, list[str]]:
    """How often the daemon was killed, and what is wrong in the end."""
    until_s, kills = time.monotonic() + seconds, 0
    mishaps: list[Callable[[], object]] = [
        bar.kill,
        bar.kill,
        bar.kill,
        bar.reload,
        lambda: bar.kegbot.turn(chance.choice(["up", "away", "lose"])),
        lambda: bar.server.turn(chance.choice(["accept", *KEGNET_MODES])),
        bar.server.stop,
        bar.server.start,
    ]
    while kills == 0 or time.monotonic() < until_s:
        bar.drop(POURS)
        time.sleep(chance.uniform(*LIVES_S))
        mishap = chance.choice(mishaps)
        mishap()
        kills += mishap == bar.kill
    bar.kegbot.turn("up")
    bar.server.start()
    bar.server.turn("accept")
    if not wait_while_falling(bar.waiting, 1, nudge=bar.reload):
        return kills, [f"{bar.waiting()} pours wait, and none went for {STILL_S:g} s: {bar.device.tail()}"]
    return kills, bar.faults()


def _line(pour: Pour) -> str:
    return f"{pour.pin},{pour.pulses},{pour.elapsed_ms},{pour.started_ms}"
