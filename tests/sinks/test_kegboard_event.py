"""A Kegbot server of 2.0: paired by a person, one drink a pour whatever is sent again, nothing that it would drop."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from kegnet_client.core.records import Heartbeat, Pour, Reading
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.answer import Answer

from ..support.kegboard_receiver import TOKEN, KegboardReceiver
from .kegbot_rig import POUR, Killed, Rig

ACCEPTED, DEFERRED = Disposition.ACCEPTED, Disposition.DEFERRED
MISCONFIGURED, REJECTED = Disposition.MISCONFIGURED, Disposition.REJECTED
METER = "kegnet-0a1b2c3d.flow0"


class LaterRig(Rig):
    """The same in front of a server of 2.0."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, Random(1))  # noqa: S311 (no secret)
        self.receiver = KegboardReceiver(self.clock)
        self.wire.model = self.receiver

    def upgrade(self) -> None:
        """It becomes this server, where a person has allowed the device and given the meter a tap with a keg."""
        self.wire.model = self.receiver
        self.receiver.pairing = "allowed"
        self.receiver.taps[METER] = True

    def pair(self) -> None:
        self.receiver.pairing = "allowed"
        assert self.send(Heartbeat(0)).disposition is ACCEPTED


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LaterRig]:
    with closing(LaterRig(tmp_path / "journal")) as rig:
        yield rig


@pytest.mark.case(119)
def test_it_is_paired_by_a_person_and_keeps_the_token_for_good(rig: LaterRig, tmp_path: Path) -> None:
    for state in ("pending", "denied"):
        rig.receiver.pairing = state
        verdict = rig.send(Heartbeat(0))
        assert (verdict.disposition, verdict.refused) == (MISCONFIGURED, True)
        assert "allow it there, on the page of its Kegboards" in verdict.reason
        assert "kegnet-0a1b2c3d" in verdict.reason
    rig.pair()
    token = tmp_path / "journal" / "token"
    assert (token.read_text(), token.stat().st_mode & 0o777) == (TOKEN, 0o600)
    rig.restart()
    assert rig.send(Heartbeat(0)).disposition is ACCEPTED


@pytest.mark.case(149)
@pytest.mark.parametrize("is_moved", [True, False])
def test_a_spool_that_is_made_anew_with_the_token_in_it_stops_nothing(
    rig: LaterRig, tmp_path: Path, is_moved: bool
) -> None:
    rig.pair()
    if is_moved:
        (tmp_path / "journal").rename(tmp_path / "moved")
        assert rig.send(Heartbeat(0)).disposition is ACCEPTED
    else:
        shutil.rmtree(tmp_path / "journal")
        rig.receiver.token = None
        rig.pair()
    rig.restart()
    assert rig.send(Heartbeat(0)).disposition is ACCEPTED


@pytest.mark.case(119)
def test_a_token_that_is_revoked_is_let_go_and_the_pairing_begins_anew(rig: LaterRig, tmp_path: Path) -> None:
    rig.pair()
    rig.receiver.token, rig.receiver.pairing = None, "pending"
    assert rig.send(Heartbeat(0)).disposition is MISCONFIGURED
    assert not (tmp_path / "journal" / "token").exists()
    rig.pair()


@pytest.mark.case(120)
def test_a_pour_is_a_drink_once_however_often_it_is_told_and_by_whatever_process(rig: LaterRig) -> None:
    rig.pair()
    rig.receiver.taps[METER] = True
    rig.clock.now_ms = POUR.started_ms + 3_600_000
    rig.wire.mishap = "lost"
    assert rig.send(POUR).disposition is DEFERRED
    assert rig.send(POUR).disposition is ACCEPTED
    rig.wire.mishap = "killed"
    with pytest.raises(Killed):
        rig.send(POUR)
    rig.restart()
    assert rig.send(POUR).disposition is ACCEPTED
    (drink,) = rig.receiver.drinks.values()
    assert (drink.meter, drink.volume_ml, drink.duration_ms) == (METER, 293.0, 8123)
    assert drink.ended_s == pytest.approx((POUR.started_ms + POUR.elapsed_ms) / 1000, abs=0.1)
    by_boot = {boot: [number for one, number in rig.receiver.ids if one == boot] for boot, _ in rig.receiver.ids}
    assert len(by_boot) == 2
    assert all(numbers == sorted(set(numbers)) for numbers in by_boot.values())


@pytest.mark.case(120)
def test_a_pour_that_the_server_would_drop_waits_for_its_tap_and_its_keg(rig: LaterRig) -> None:
    rig.pair()
    held = rig.send(POUR)
    assert (held.disposition, held.others_go_on) == (DEFERRED, True)
    assert held.reason == f"no tap has the meter {METER}; give it one at the server"
    assert METER in rig.receiver.meters, "a person has something to give it to"
    rig.receiver.taps[METER] = False
    rig.clock.now_s += 61
    assert rig.send(POUR).reason == f"the tap with meter {METER} has no keg; put one on it at the server"
    rig.receiver.taps[METER] = True
    rig.clock.now_s += 61
    assert rig.send(POUR).disposition is ACCEPTED
    rig.receiver.taps[METER] = False
    assert rig.send(Pour(0, 7, 900, POUR.started_ms + 60_000)).others_go_on
    assert (len(rig.receiver.drinks), rig.receiver.dropped) == (1, 0)


def test_a_temperature_keeps_its_time(rig: LaterRig) -> None:
    rig.pair()
    taken_ms = rig.clock.now_ms - 7_200_000
    assert rig.send(Reading("28-0316a2795c5b", 3875, taken_ms)).disposition is ACCEPTED
    ((sensor, celsius, at_s),) = rig.receiver.temperatures
    assert (sensor, celsius) == ("28-0316a2795c5b", 3.875)
    assert at_s == pytest.approx(taken_ms / 1000, abs=0.1)


@pytest.mark.parametrize(
    ("answer", "disposition"),
    [
        (Answer(400, {}, b'{"error": "invalid", "detail": "x"}'), REJECTED),
        (Answer(404, {}, b"<html>"), MISCONFIGURED),
        (Answer(503, {}, b'{"error": "setup_required"}'), DEFERRED),
    ],
)
def test_other_answers_are_told_for_what_they_are(
    rig: LaterRig, monkeypatch: pytest.MonkeyPatch, answer: Answer, disposition: Disposition
) -> None:
    rig.pair()
    rig.receiver.taps[METER] = True
    handle = rig.receiver.handle
    monkeypatch.setattr(
        rig.receiver,
        "handle",
        lambda method, *rest: answer if method == "POST" else handle(method, *rest),
    )
    assert rig.send(Pour(0, 1, 0, POUR.started_ms)).disposition is disposition


@pytest.mark.case(153)
@pytest.mark.parametrize("first", [Pour(0, 7, 900, POUR.started_ms + 60_000), Reading("28-0316a2795c5b", 3875, 0)])
def test_a_server_that_is_upgraded_while_the_daemon_runs_is_met_anew(tmp_path: Path, first: Pour | Reading) -> None:
    with closing(LaterRig(tmp_path / "journal")) as rig:
        rig.wire.model = rig.model
        assert rig.send(POUR).disposition is ACCEPTED
        rig.wire.model = rig.receiver
        rig.receiver.pairing = "allowed"
        rig.receiver.taps[METER] = True
        rig.clock.now_s += 61
        if isinstance(first, Reading):
            first = first._replace(taken_ms=rig.clock.now_ms)
        assert rig.send(first).disposition is not ACCEPTED
        rig.clock.now_s += 61
        assert rig.send(Pour(0, 7, 900, POUR.started_ms + 60_000)).disposition is ACCEPTED
        assert len(rig.receiver.drinks) == 1


@pytest.mark.case(163)
@pytest.mark.parametrize("is_killed", [True, False])
def test_what_was_posted_before_an_upgrade_is_not_told_again(tmp_path: Path, is_killed: bool) -> None:
    in_doubt = POUR._replace(started_ms=POUR.started_ms + 60_000)
    with closing(LaterRig(tmp_path / "journal")) as rig:
        rig.wire.model = rig.model
        assert rig.send(POUR).disposition is ACCEPTED
        rig.wire.mishap = "lost"
        assert rig.send(in_doubt).disposition is DEFERRED
        assert len(rig.model.drinks) == 2
        if is_killed:
            rig.restart()
        rig.upgrade()
        for _ in range(4):
            rig.clock.now_s += 61
            known, unknown = rig.send(POUR), rig.send(in_doubt)
            if unknown.disposition is REJECTED:
                break
        assert known.disposition is ACCEPTED
        assert "may be a drink there: look" in unknown.reason
        assert rig.receiver.drinks == {}
        # A person has looked and put it back.
        assert rig.send(in_doubt).disposition is ACCEPTED
        assert len(rig.receiver.drinks) == 1


@pytest.mark.case(163)
def test_killed_before_a_pour_in_doubt_is_moved_it_rejects_it_once_more_and_tells_nothing(tmp_path: Path) -> None:
    in_doubt = POUR._replace(started_ms=POUR.started_ms + 60_000)
    with closing(LaterRig(tmp_path / "journal")) as rig:
        rig.wire.model = rig.model
        assert rig.send(POUR).disposition is ACCEPTED
        rig.wire.mishap = "lost"
        assert rig.send(in_doubt).disposition is DEFERRED
        rig.upgrade()
        for _ in range(2):
            for _ in range(4):
                rig.clock.now_s += 61
                if (verdict := rig.send(in_doubt)).disposition is REJECTED:
                    break
            assert "may be a drink there: look" in verdict.reason
            rig.restart()
        assert rig.receiver.drinks == {}


@pytest.mark.case(164)
def test_a_server_whose_upgrade_is_taken_back_is_met_anew(tmp_path: Path) -> None:
    with closing(LaterRig(tmp_path / "journal")) as rig:
        rig.upgrade()
        assert rig.send(POUR).disposition is ACCEPTED
        rig.wire.model = rig.model
        second = POUR._replace(started_ms=POUR.started_ms + 60_000)
        rig.clock.now_s += 61
        assert rig.send(second).disposition is ACCEPTED
        assert len(rig.drinks_of(second)) == 1


@pytest.mark.case(165)
def test_a_server_that_was_set_up_anew_is_shown_the_meters_again(rig: LaterRig) -> None:
    rig.pair()
    assert rig.send(POUR).others_go_on
    rig.receiver.meters, rig.receiver.token, rig.receiver.pairing = {}, None, "allowed"
    assert rig.send(Heartbeat(0)).disposition is ACCEPTED
    assert rig.send(POUR).reason == f"no tap has the meter {METER}; give it one at the server"
    assert METER in rig.receiver.meters
