"""What a journal of posts keeps: everything that may still make a second drink, over the years and over power cuts."""

from pathlib import Path
from random import Random

import pytest

from disk import Disk, Operation, State
from kegnet_client.core.errors import ConfigError
from kegnet_client.host import atomic_file
from kegnet_client.host.boot import read_boot_id
from kegnet_client.sinks import kegbot_journal
from kegnet_client.sinks.kegbot_journal import KEPT_AT_MOST_MS, Journal, Stored

from ..spool.dying_os import DyingOs, in_place_of_os
from ..support.clock import FakeClock
from ..support.descriptors import open_descriptors

SETTLED, IN_DOUBT, MAYBE_TWICE = 1, 2, 3
BEGUN = (read_boot_id(), round(FakeClock().now_s * 1000))

Known = dict[int, set[Stored | None]]
"""What a journal may say of each post after a power cut."""


def test_a_post_in_doubt_is_known_however_long_the_device_was_off(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = Journal(tmp_path / "journal", clock)
    for nonce in (SETTLED, IN_DOUBT, MAYBE_TWICE):
        journal.begin(nonce, 17, 0)
    journal.begin(MAYBE_TWICE, 17, 0)
    journal.settle(MAYBE_TWICE, 19)
    journal.settle(SETTLED, 18)
    journal.close()

    clock.now_ms += KEPT_AT_MOST_MS + 1
    journal = Journal(tmp_path / "journal", clock)
    assert set(journal.entries) == {IN_DOUBT, MAYBE_TWICE}
    journal.close()


@pytest.mark.case(150)
def test_a_drink_of_before_the_clock_was_set_is_known_after_it_was(tmp_path: Path) -> None:
    clock = FakeClock(wall_ms=1000)
    journal = Journal(tmp_path / "journal", clock)
    journal.begin(SETTLED, 17, 0)
    journal.settle(SETTLED, 18)
    journal.close()

    journal = Journal(tmp_path / "journal", FakeClock())
    assert journal.entries[SETTLED].stored.drink == 18
    journal.close()


def test_one_that_cannot_be_read_holds_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "journal" / f"{IN_DOUBT:012x}").mkdir(parents=True)
    (tmp_path / "journal").chmod(0o700)
    for _ in range(3):
        with pytest.raises(ConfigError, match="cannot be used"):
            Journal(tmp_path / "journal", FakeClock())
    assert open_descriptors(tmp_path) == set()


@pytest.mark.case(123)
@pytest.mark.parametrize("seed", range(3))
def test_a_power_cut_after_any_step_forgets_no_post_and_no_drink_that_it_became(tmp_path: Path, seed: int) -> None:
    """Each state that the file system may be in then; a step that is under way may be done, or not."""
    root, clock = tmp_path / "state", FakeClock()
    root.mkdir()
    disk, chance = Disk({}), Random(seed)  # noqa: S311  # to be repeated
    known: Known = {}
    states: dict[tuple[frozenset[tuple[str, bytes | None]], str], tuple[State, Known]] = {}

    def note(operation: Operation) -> None:
        if disk.apply(operation):
            for state in disk.states(chance):
                now = {nonce: set(stored) for nonce, stored in known.items()}
                states.setdefault((frozenset(state.items()), str(now)), (state, now))

    def expect(nonce: int, stored: Stored | None) -> None:
        known.setdefault(nonce, {None}).add(stored)

    fake = DyingOs(root, told=note)
    with in_place_of_os(fake, (kegbot_journal, atomic_file)):
        journal = Journal(root / "journal", clock)
        for nonce in (SETTLED, IN_DOUBT, MAYBE_TWICE):
            posted = Stored(17, None, False, clock.now_ms, *BEGUN)
            expect(nonce, posted)
            journal.begin(nonce, 17, 0)
            known[nonce] = {posted}
        twice = Stored(17, None, True, clock.now_ms, *BEGUN)
        expect(MAYBE_TWICE, twice)
        journal.begin(MAYBE_TWICE, 17, 0)
        known[MAYBE_TWICE] = {twice}
        for nonce, drink in ((SETTLED, 18), (MAYBE_TWICE, 19)):
            stored = Stored(17, drink, nonce == MAYBE_TWICE, clock.now_ms, *BEGUN)
            expect(nonce, stored)
            journal.settle(nonce, drink)
            known[nonce] = {stored}
        swept = Stored(17, 19, False, clock.now_ms, *BEGUN)
        expect(MAYBE_TWICE, swept)
        journal.swept(MAYBE_TWICE)
        known[MAYBE_TWICE] = {swept}
        expect(SETTLED, None)
        journal.forget(SETTLED)
        journal.close()
    assert len(states) > 40
    for index, (state, may_be) in enumerate(states.values()):
        _start_upon(tmp_path / str(index), state, may_be, clock)


def _start_upon(root: Path, state: State, may_be: Known, clock: FakeClock) -> None:
    root.mkdir()
    for name, data in sorted(state.items(), key=lambda item: (item[1] is not None, item[0])):
        if data is None:
            (root / name).mkdir(mode=0o700)
        else:
            (root / name).write_bytes(data)
    journal = Journal(root / "journal", clock)
    found = {nonce: entry.stored for nonce, entry in journal.entries.items()}
    journal.close()
    for nonce, stored in may_be.items():
        assert found.get(nonce) in stored, f"post {nonce} in {sorted(state)}"
    assert set(found) <= set(may_be)
