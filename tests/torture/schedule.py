"""The model's schedules: lists of steps, each a plain dictionary, so that one can be kept, cut down and replayed.

All that chance decides is decided here; a name or a text in a step is what goes into the file system. Texts are
ASCII; names may hold surrogates for what is not UTF-8.
"""

import random
from typing import Any

from bench import ONE_MS
from server import MODES, POISON

Step = dict[str, Any]

SENSORS = ("28-0316a2795c5b", "28-000005e2fdc3")
HOWS = ("rename", "in place", "cp", "in pieces")
BAD = (
    "",
    "\n",
    "0,1,2\n",
    "0,586,8123,1700000000000,9\n",
    "0,0,8123,1700000000000\n",
    "256,1,1,1700000000000\n",
    "0,+5,8123,1700000000000\n",
    "0,1_000,8123,1700000000000\n",
    "0,007,8123,1700000000000\n",
    "0,5,8123,12345\n",
    "0,5,8123,1700000000000\n0,6,8123,1700000000000\n",
    "0,5,8123,1700000000000\r\n",
    "\0" * 24,
    "x" * 5000,
    "28-0316a2795c5b,3875,1700000000000\n",
)
ODD_NAMES = ("a b", "ä", "\udcff", "new\nline", "-rf", "%s%n", "0.pour", "'quoted'")
FOREIGN = (".0-17.tmp", ".hidden.pour", "notes.txt", "0-17.pour.tmp", "README", "x.pour~", "core")


class Scheduler:
    """Draws steps; every record it makes is another one. ``number`` says with which of the server's modes it begins."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self._chance = chance
        self._meetings = number * 4
        self._count = 0
        self._drops: list[Step] = []

    def draw(self, length: int, *, settling: bool) -> list[Step]:
        """A schedule; with ``settling`` it has files that take ten seconds to count as whole."""
        kinds = {
            self._drop: 12,
            self._duplicate: 2,
            self._reuse: 2,
            self._burst: 1,
            self._foreign: 1,
            self._torn: 2,
            self._rewrite: 2,
            self._half: 2 if settling else 0,
            self._finish: 2 if settling else 0,
            self._server: 4,
            self._meet: 4,
            self._server_process: 2,
            self._daemon: 4,
            self._wait: 3,
            self._first_address: 1,
            self._round: 0.3,
        }
        makers = self._chance.choices(list(kinds), list(kinds.values()), k=length)
        return [make() for make in makers]

    def _name(self, suffix: str) -> str:
        self._count += 1
        odd = self._chance.choice(ODD_NAMES) if self._chance.random() < 0.1 else "0"
        return f"{odd}-{self._count}{suffix}"

    def _record(self) -> tuple[str, str, str]:
        """A name, a content and the record in it, as one canonical line."""
        self._count += 1
        at_ms = ONE_MS + self._count
        if self._chance.random() < 0.2:
            line = f"{self._chance.choice(SENSORS)},{self._chance.randrange(-20, 30) * 1000},{at_ms}"
            return self._name(".reading"), line + self._chance.choice(("\n", "")), line
        pulses = self._chance.randrange(1, 3000)
        if self._chance.random() < 0.1:
            pulses -= pulses % POISON
            pulses = pulses or POISON
        pin, elapsed = self._chance.randrange(256), self._chance.randrange(100)
        if self._chance.random() < 0.1:
            seconds, elapsed = at_ms // 1000 + self._count, min(elapsed, pulses)
            return (
                self._name(".pour"),
                f"{pin},{pulses},{elapsed},{seconds}",
                f"{pin},{pulses},{elapsed * 1000},{seconds * 1000}",
            )
        line = f"{pin},{pulses},{elapsed},{at_ms}"
        return self._name(".pour"), line + self._chance.choice(("\n", "\n", "")), line

    def _drop(self) -> Step:
        name, text, record = self._record()
        step: Step = {"do": "drop", "how": self._chance.choice(HOWS), "name": name, "text": text, "record": record}
        if self._chance.random() < 0.2:
            step["text"] = self._chance.choice(BAD)
            step["name"] = self._name(".pour")
            step["record"] = None
        self._drops.append(step)
        return step

    def _duplicate(self) -> Step:
        """The same record once more, under another name."""
        if not self._drops:
            return self._drop()
        one = self._chance.choice(self._drops)
        return {**one, "how": self._chance.choice(HOWS), "name": self._name("." + one["name"].rpartition(".")[2])}

    def _reuse(self) -> Step:
        """Another record under a name that was used before, unless that one still waits."""
        step = self._drop()
        suffix = step["name"].rpartition(".")[2]
        names = [one["name"] for one in self._drops if one["name"].endswith(suffix)]
        step["name"] = self._chance.choice(names)
        return step

    def _burst(self) -> Step:
        drops = [self._drop() for _ in range(self._chance.randrange(5, 40))]
        return {"do": "burst", "drops": [{**one, "how": "rename"} for one in drops]}

    def _half(self) -> Step:
        """A writer stops in the middle, and finishes at a later step, or is gone for good."""
        name, text, record = self._record()
        # No such head is a record: its last field is missing.
        cut = text.rindex(",")
        return {
            "do": "half",
            "name": name,
            "head": text[:cut],
            "tail": text[cut:],
            "record": record,
            "left": self._chance.random() < 0.3,
        }

    def _finish(self) -> Step:
        return {"do": "finish"}

    def _torn(self) -> Step:
        """A producer that writes in place is killed on the way: what is there then is no record."""
        self._count += 1
        pulses = self._chance.randrange(1, 3000)
        line = f"{self._chance.randrange(256)},{pulses},{pulses * 5 + 1},{ONE_MS + self._count}"
        # Cut off after ten digits of its time it would read as an old producer's seconds.
        text = line[: self._chance.choice((self._chance.randrange(1, len(line)), len(line) - 3))]
        how = self._chance.choice(("in place", "killed"))
        return {"do": "drop", "how": how, "name": self._name(".pour"), "text": text, "record": None}

    def _rewrite(self) -> Step:
        """Another record is written over one whose request is under way, in place, and its time is kept."""
        self._count += 2
        pin, pulses = self._chance.randrange(256), self._chance.randrange(1, 3000)
        pulses += pulses % POISON == 0
        lines = [f"{pin},{pulses},{pulses * 5 + 1},{ONE_MS + self._count + number}" for number in (-1, 0)]
        return {"do": "rewrite", "name": self._name(".pour"), "lines": lines}

    def _foreign(self) -> Step:
        self._count += 1
        name = self._chance.choice(FOREIGN)
        return {"do": "foreign", "name": f"{name[0]}{self._count}{name[1:]}", "text": "0,586,8123,1700000000000\n"}

    def _server(self) -> Step:
        if self._chance.random() < 0.4:
            return {"do": "server", "mode": "accept"}
        if self._chance.random() < 0.3:
            return {"do": "server", "mode": "flaky", "seed": self._chance.randrange(2**32)}
        return {"do": "server", "mode": self._chance.choice(MODES)}

    def _meet(self) -> Step:
        """The server turns so, and the daemon is made to notice: between other steps a backoff may hide it."""
        drops = [{**self._drop(), "how": "rename"} for _ in range(self._chance.choice((1, 2, 8)))]
        self._meetings += 1
        return {"do": "meet", "mode": MODES[self._meetings % len(MODES)], "drops": drops}

    def _server_process(self) -> Step:
        return {"do": "server process", "what": self._chance.choice(("restart", "stop", "start"))}

    def _daemon(self) -> Step:
        return {"do": "daemon", "what": self._chance.choice(("stop", "kill", "reload", "reload", "start", "restart"))}

    def _first_address(self) -> Step:
        return {"do": "first address", "what": self._chance.choice(("blackhole", "none"))}

    def _round(self) -> Step:
        return {"do": "round", "sensors": list(SENSORS), "millidegrees": self._chance.randrange(-20, 30) * 1000}

    def _wait(self) -> Step:
        return {"do": "wait", "ms": self._chance.choice((1, 10, 50, 200, 500))}
