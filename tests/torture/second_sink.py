"""A second sink beside KegNet, a Kegbot server, and a daemon that is another user than the producer of its pours.

A Kegbot server makes a drink of every post: what is delivered twice is seen there. As root, and where others can run
the package, daemon and producer are two users of one group, and hard links of another's file are forbidden: what passes
for root need not for them.
"""

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from random import Random

from bench import Bench, Device, make_random
from kegnet_client.config.edit import fill
from kegnet_client.core.records import Pour, parse
from kegnet_client.core.wire.kegbot_api import nonce_of
from kegnet_client.sinks.kegbot_section import KEGBOT
from ledger import Ledger
from server import Server
from tests.sinks.kegbot_server import serve
from tests.support.clock import FakeClock
from tests.support.kegbot import KEY, KegbotModel, StoredDrink
from tests.support.sockets import Connection
from tests.support.sockets import Server as Sockets
from tests.support.users import NOBODY, PRODUCER, python_for_others

PROTECTED = Path("/proc/sys/fs/protected_hardlinks")

OWN = (".queue", ".kegbot")
"""The daemon's directories in the spool of a device with two sinks."""

Drink = tuple[int, str, int, float, str]
"""A drink as a schedule has it: its id, and what is stored of it."""


class Kegbot:
    """The model of a Kegbot server, at an address: ``mode`` is ``up``, ``away``, or ``lose``, which loses answers.

    ``stored_s`` is the wall clock's time by which each drink was there.
    """

    def __init__(self, bench: Bench, chance: Random) -> None:
        self.mode = "up"
        self.stored_s: dict[int, float] = {}
        self._chance = chance
        self.model = KegbotModel(FakeClock(), chance)
        self._sockets = Sockets(bench.authority.context(), self._behave, shake_hands=False)
        self.url = f"https://localhost:{self._sockets.port}/api"

    def turn(self, mode: str) -> None:
        self.mode = mode
        if mode == "away":
            self._sockets.hang_up()

    def reset(self, drinks: Iterable[Drink] = ()) -> None:
        """Another server, which has these drinks."""
        self.model = KegbotModel(FakeClock(), self._chance)
        self.model.drinks = {
            number: StoredDrink(meter, ticks, at_s, text) for number, meter, ticks, at_s, text in drinks
        }
        self.stored_s.clear()
        self._sockets.received.clear()

    def drinks(self, until_s: float) -> list[Drink]:
        """Those that were there then."""
        there = [(number, one) for number, one in self.model.drinks.items() if self.stored_s[number] <= until_s]
        return [(number, one.meter, one.ticks, one.at_s, one.series) for number, one in there]

    def faults(self, uuid: str, pours: Collection[Pour]) -> list[str]:
        """Which of the ``pours`` of the device ``uuid`` are not one drink."""
        drinks = Counter(pair for drink in self.model.drinks.values() for pair in drink.series.split())
        counts = {pour: drinks[f"{nonce_of(pour, uuid)}:0"] for pour in pours}
        faults = [f"{pour} is {count} drinks" for pour, count in counts.items() if count != 1]
        if len(self.model.drinks) > len(pours):
            faults.append("there are drinks that nobody poured")
        return faults

    def close(self) -> None:
        self._sockets.close()

    def _behave(self, connection: Connection) -> None:
        if self.mode == "away":
            connection.reset()
        else:
            connection.shake_hands()
            serve(connection, self.model, loses=self._loses)

    def _loses(self) -> bool:
        """Asked between storing and answering."""
        now_s = time.time()
        for number in list(self.model.drinks):
            self.stored_s.setdefault(number, now_s)
        return self.mode == "lose"


class Servers:
    """The two that there are records for."""

    def __init__(self, bench: Bench) -> None:
        self.kegnet = Server(bench.authority)
        self.kegbot = Kegbot(bench, make_random("kegbot", bench.seed))

    def close(self) -> None:
        self.kegnet.stop()
        self.kegbot.close()


def add_kegbot(device: Device, kegbot: Kegbot) -> None:
    """Have ``device`` deliver to ``kegbot``, too."""
    conf = device.root / "conf"
    (conf / "kegbot-key").touch(0o600)
    (conf / "kegbot-key").write_text(KEY)
    file = conf / "client.conf"
    file.write_text(fill(file.read_text(), KEGBOT, {"api": kegbot.url, "ca_bundle": "conf/ca.crt"}))


def give_away(device: Device, above: Sequence[Path]) -> None:
    """Make ``device`` the user's that its daemon runs as, if that is another. ``above`` are the directories over it."""
    if python_for_others() is None:
        return
    device.options = NOBODY
    for path in (device.root, *device.root.rglob("*")):
        os.chown(path, NOBODY["user"], NOBODY["group"])
    device.spool.chmod(0o1770)
    for directory in above:
        directory.chmod(0o755)


def give_to_producer(path: Path) -> None:
    """The file at ``path`` is the producer's, if that is another user."""
    if python_for_others() is not None:
        os.chown(path, PRODUCER["user"], PRODUCER["group"])


def pours_in(ledger: Ledger) -> set[Pour]:
    """What was dropped that is to be a drink."""
    dropped = [parse(one.name, one.data) for one in ledger.dropped if one.identity is not None]
    return {record for record in dropped if isinstance(record, Pour)}


def waiting(device: Device, foreign: Iterable[str] = ()) -> list[str]:
    """What is still to go, in the spool and in the queues."""
    queued = [path.name for path in device.spool.glob(".queue/*/*.[pr]*") if path.is_file()]
    return device.waiting([*foreign, *OWN]) + queued


def say_what_is_missing(bench: Bench) -> None:
    if python_for_others() is None or PROTECTED.read_text().strip() != "1":
        bench.say("all are one user, or hard links are not protected: what that would find is left out")
