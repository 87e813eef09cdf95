"""Two sinks, KegNet and a Kegbot server, and a daemon that is killed again and again while either is away.

As root, the daemon and the producer are two other users, of one group: what passes for root need not for them. In the
end each pour has to be at each of the two, once: a Kegbot server makes a drink of every post. A post that a kill leaves
in doubt waits for a minute, as it does in life, so that the end of a run takes some.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from bench import ONE_MS, Bench, Daemon, Device, ViolationError, make_random, version_of, versions
from kegnet_client.core.records import Pour
from ledger import identify
from patience import STILL_S, wait_while_falling
from second_sink import Kegbot, add_kegbot, give_away, say_what_is_missing
from server import POISON, Server
from tests.support.users import PRODUCER, find_modules, python_for_others

POURS = 4
"""Between one mishap and the next."""
LIVES_S = (0.3, 2.0)
"""How long nothing goes wrong: a random while, so there is nothing to wait for."""
KEGNET_MODES = ("500", "503", "lose", "hang", "reset")
DROP = 'umask 027; while read -r name line; do echo "$line" >".$name.tmp" && mv ".$name.tmp" "$name"; done'


class Bar:
    """A device that delivers to both, its daemon, and the producer of its pours."""

    def __init__(self, bench: Bench, directory: Path, server: Server, kegbot: Kegbot, version: str) -> None:
        self.server, self.kegbot = server, kegbot
        self._version = version
        self._python = python_for_others()
        self.device = Device(directory / "root", server.url(version), bench.authority)
        self.pours: list[Pour] = []
        add_kegbot(self.device, kegbot)
        give_away(self.device, (bench.directory, directory))
        if self._python is not None:
            self.device.program = [self._python, "-m", "kegnet_client.cli"]
            self.device.variables |= find_modules()
        self.daemon = Daemon(self.device)

    def drop(self, count: int) -> None:
        lines = []
        for _ in range(count):
            number = len(self.pours) + 1
            pulses = number * POISON + 1  # none that the server never takes
            pour = Pour(number % 2, pulses, 8123, ONE_MS + number)
            self.pours.append(pour)
            lines.append(f"{number}.pour {_line(pour)}")
        who = {} if self._python is None else PRODUCER
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
        faults += self.kegbot.faults(self.device.uuid, self.pours)
        return faults


def run(bench: Bench, seconds: float) -> None:
    for number, _ in enumerate(versions()):
        play(bench, {"version": version_of(number), "number": number, "seconds": seconds / len(versions())})


def replay(bench: Bench, case: dict[str, Any]) -> None:
    play(bench, case)


def play(bench: Bench, case: dict[str, Any]) -> None:
    """`ViolationError` when a pour is not at each of the two, once."""
    directory = bench.place("sinks")
    chance = make_random("sinks", bench.seed, case["number"])
    say_what_is_missing(bench)
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
