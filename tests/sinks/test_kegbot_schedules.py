"""Whatever happens in whatever order, each pour is one drink at a Kegbot server in the end, and no other is touched."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from unittest import mock

import pytest

from kegnet_client.core.records import Pour
from kegnet_client.sinks import kegbot_journal

from .kegbot_rig import Killed, Rig

MISHAPS = ["away", "lost", "lost", "killed", "later", "later", "broken"]


@pytest.fixture
def directory() -> Iterator[Path]:
    """In memory: each step is synced, and what a disk makes of that is not what is tested here."""
    made = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


def play(directory: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 (no secret)
    version, reuses_ids = random.choice(["1.2", "1.3"]), random.random() < 0.3
    boots = ["the first"]
    with (
        mock.patch.object(kegbot_journal, "read_boot_id", side_effect=lambda: boots[-1]),
        closing(Rig(directory / "journal", random, version, reuses_ids=reuses_ids)) as rig,
    ):
        play_on(rig, random, boots)


def play_on(rig: Rig, random: Random, boots: list[str]) -> None:
    poured: list[Pour] = []
    others = [rig.model.pour_elsewhere(100 + number) for number in range(random.choice([0, 5, 250]))]
    for _ in range(random.randint(10, 60)):
        match random.randrange(10):
            case 0 | 1:
                started_ms = rig.clock.now_ms - random.choice([5_000, 86_400_000])
                poured.append(Pour(random.randrange(2), len(poured) + 1, 4000, started_ms))
                rig.spool.append(poured[-1])
            case 2:
                others.append(rig.model.pour_elsewhere(1000 + len(others)))
            case 3:
                rig.model.taps["kegboard.flow0"] ^= True
            case 4 if random.random() < 0.2:
                rig.model.key = "another" if rig.model.key != "another" else "0123456789abcdef0123456789abcdef"
            case 5:
                rig.clock.now_s += random.choice([1, 20, 61, 300, 700])
            case 6 if random.random() < 0.3:
                if random.random() < 0.5:
                    boots.append(str(random.random()))
                rig.restart()
            case 7 if random.random() < 0.1:
                rig.model.failing ^= {"kegboard.flow0"}
            case _ if rig.spool:
                step(rig, random)
    rig.restart()
    rig.model.key = "0123456789abcdef0123456789abcdef"
    rig.model.taps["kegboard.flow0"] = True
    rig.model.failing.clear()
    rig.finish()

    for pour in poured:
        (drink,) = rig.drinks_of(pour)
        assert drink.ticks == pour.pulses
        assert abs(drink.at_s - (pour.started_ms + pour.elapsed_ms) / 1000) <= 2
    assert [one for one in others if one not in rig.model.drinks.values()] == []
    assert len(rig.model.drinks) == len(poured) + len(others)


def step(rig: Rig, random: Random) -> None:
    """Send one of those that wait; something goes wrong half of the time."""
    rig.wire.mishap = random.choice(MISHAPS) if random.random() < 0.5 else ""
    rig.wire.late_s = random.choice([5.0, 30.0, 300.0])
    rig.clock.fatal = random.randint(1, 40) if random.random() < 0.15 else 0
    pour = random.choice(rig.spool)
    try:
        rig.send(pour) if random.random() < 0.05 else rig.deliver(pour)  # it may end before the file goes
        rig.clock.fatal = 0
    except Killed:
        rig.restart()


@pytest.mark.case(109)
@pytest.mark.parametrize("hundred", range(0, 100, 25))
def test_each_pour_is_one_drink_after_any_of_a_hundred_schedules(directory: Path, hundred: int) -> None:
    for seed in range(hundred, hundred + 25):
        (directory / str(seed)).mkdir()
        play(directory / str(seed), seed)


@pytest.mark.slow
@pytest.mark.case(109)
@pytest.mark.parametrize("hundred", range(100, 1000, 100))
def test_each_pour_is_one_drink_after_any_of_a_thousand_schedules(directory: Path, hundred: int) -> None:
    for seed in range(hundred, hundred + 100):
        (directory / str(seed)).mkdir()
        play(directory / str(seed), seed)
