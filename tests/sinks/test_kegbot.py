"""A Kegbot server of 1.x: one drink a pour, whatever became of its post."""

import errno
import logging
import os
import shutil
from pathlib import Path

import pytest

from kegnet_client.core.records import Heartbeat, Pour
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire.answer import Answer
from kegnet_client.sinks.kegbot import DOUBT_S, MAX_IN_DOUBT
from kegnet_client.sinks.kegbot_journal import DEADLINE_S

from ..support.kegbot import KEY
from .kegbot_rig import POUR, Killed, Rig, lose_answer

ACCEPTED, DEFERRED = Disposition.ACCEPTED, Disposition.DEFERRED
MISCONFIGURED, REJECTED = Disposition.MISCONFIGURED, Disposition.REJECTED
OTHER = Pour(1, 200, 3000, POUR.started_ms + 60_000)


def posts(rig: Rig) -> int:
    return sum(call.startswith("POST taps/") for call in rig.model.calls)


def untold() -> str:
    """What `read_boot_id` does in a service that sees its own processes alone in ``/proc``."""
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def test_the_start_is_told_as_kegbots_core_did(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        assert rig.send(Heartbeat(rig.clock.now_ms)).disposition is ACCEPTED
    assert caplog.messages == [
        "Querying backend liveness.",
        "Backend appears to be alive.",
        "Found 2 taps, adding to tap manager.",
        "Registering new tap: kegboard.flow0",
        "Registering new tap: kegboard.flow1",
    ]


def test_a_pour_is_a_drink_at_its_tap_with_its_time(rig: Rig) -> None:
    assert rig.send(POUR).disposition is ACCEPTED
    (drink,) = rig.model.drinks.values()
    assert (drink.meter, drink.ticks) == ("kegboard.flow0", 586)
    assert abs(drink.at_s - (POUR.started_ms + POUR.elapsed_ms) / 1000) < 1


def test_a_named_meter_goes_before_the_one_of_that_number(rig: Rig) -> None:
    rig.named[0] = "kegboard.flow1"
    assert rig.send(POUR).disposition is ACCEPTED
    assert [drink.meter for drink in rig.model.drinks.values()] == ["kegboard.flow1"]


@pytest.mark.case(109)
@pytest.mark.parametrize("mishap", ["lost", "broken"])
def test_a_pour_whose_answer_was_lost_waits_a_minute_while_others_go_on_and_is_not_posted_twice(
    rig: Rig, mishap: str
) -> None:
    lose_answer(rig, mishap)
    assert rig.wire.hung_up == 1
    waiting = rig.send(POUR)
    assert (waiting.disposition, waiting.others_go_on) == (DEFERRED, True)
    assert waiting.retry_after_s == pytest.approx(DOUBT_S, abs=1)
    assert rig.send(OTHER).disposition is ACCEPTED
    rig.clock.now_s += DOUBT_S
    assert rig.send(POUR).disposition is ACCEPTED
    assert posts(rig) == 2
    assert len(rig.drinks_of(POUR)) == 1


@pytest.mark.case(109)
def test_a_pour_that_is_nowhere_is_posted_again(rig: Rig) -> None:
    assert rig.send(OTHER).disposition is ACCEPTED
    lose_answer(rig, "away")
    rig.clock.now_s += DOUBT_S
    assert rig.send(POUR).disposition is ACCEPTED
    assert len(rig.drinks_of(POUR)) == 1


@pytest.mark.case(109)
def test_a_drink_is_found_behind_pages_of_others(rig: Rig) -> None:
    lose_answer(rig)
    for number in range(250):
        rig.model.pour_elsewhere(number + 1)
    rig.clock.now_s += DOUBT_S
    assert rig.send(POUR).disposition is ACCEPTED
    assert posts(rig) == 1


@pytest.mark.case(109)
def test_at_most_sixteen_pours_are_in_doubt_at_once(rig: Rig) -> None:
    pours = [Pour(0, 1, 0, POUR.started_ms + number) for number in range(MAX_IN_DOUBT + 1)]
    for pour in pours[:-1]:
        rig.wire.mishap = "lost"
        assert not rig.send(pour).others_go_on
    held = rig.send(pours[-1])
    assert (held.disposition, held.others_go_on) == (DEFERRED, True)
    assert "16 pours of pin 0 are in doubt" in held.reason
    assert posts(rig) == MAX_IN_DOUBT
    rig.clock.now_s += DOUBT_S
    assert {rig.send(pour).disposition for pour in pours} == {ACCEPTED}


@pytest.mark.case(148)
def test_a_tap_whose_posts_fail_holds_up_no_other(rig: Rig) -> None:
    """As one whose meter has 0 ticks a millilitre: the server divides by them."""
    rig.model.failing.add("kegboard.flow0")
    for number in range(MAX_IN_DOUBT):
        assert rig.send(Pour(0, 1, 0, POUR.started_ms + number)).disposition is DEFERRED
    assert rig.send(OTHER).disposition is ACCEPTED
    assert "16 pours of pin 0 are in doubt" in rig.send(POUR).reason


@pytest.mark.case(148)
def test_pours_in_doubt_that_a_person_removed_hold_up_the_others_for_a_minute_after_a_boot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(MAX_IN_DOUBT):
        rig.wire.mishap = "lost"
        rig.send(Pour(0, 1, 0, POUR.started_ms + number))
    monkeypatch.setattr("kegnet_client.sinks.kegbot_journal.read_boot_id", lambda: "the next one")
    rig.restart()
    rig.send(Heartbeat(0))
    rig.clock.now_s += DOUBT_S
    assert rig.send(POUR).disposition is ACCEPTED


@pytest.mark.case(111)
def test_a_pour_at_a_tap_without_a_keg_is_held_and_said_while_others_go_on(rig: Rig) -> None:
    rig.model.taps["kegboard.flow0"] = False
    held = rig.send(POUR)
    assert (held.disposition, held.others_go_on) == (DEFERRED, True)
    assert held.reason == "the tap with meter kegboard.flow0 has no keg; put one on it at the server"
    assert rig.send(OTHER).disposition is ACCEPTED
    rig.model.taps["kegboard.flow0"] = True
    rig.clock.now_s += 61
    assert rig.send(POUR).disposition is ACCEPTED


@pytest.mark.case(111)
def test_a_keg_that_ends_before_the_post_holds_it_and_makes_no_drink(rig: Rig) -> None:
    rig.send(Heartbeat(0))
    rig.model.taps["kegboard.flow0"] = False
    assert rig.send(POUR).disposition is DEFERRED
    rig.clock.now_s += DOUBT_S + 1
    assert "has no keg" in rig.send(POUR).reason
    rig.model.taps["kegboard.flow0"] = True
    rig.clock.now_s += 61
    assert rig.send(POUR).disposition is ACCEPTED
    assert len(rig.drinks_of(POUR)) == 1


@pytest.mark.case(111)
@pytest.mark.parametrize("rig", ["1.3"], indirect=True)
def test_a_post_that_is_refused_does_not_undo_the_doubt_of_one_before(rig: Rig) -> None:
    lose_answer(rig, "later", 30 + DOUBT_S)
    rig.clock.now_s += DOUBT_S
    rig.send(Heartbeat(0))
    rig.model.taps["kegboard.flow0"] = False
    assert rig.send(POUR).others_go_on
    rig.model.taps["kegboard.flow0"] = True
    rig.clock.now_s += 61
    assert rig.send(POUR).disposition is ACCEPTED
    assert posts(rig) == 2
    assert len(rig.drinks_of(POUR)) == 1


@pytest.mark.case(112)
def test_a_pin_without_a_tap_is_held_and_the_taps_are_named(rig: Rig) -> None:
    held = rig.send(Pour(7, 1, 0, POUR.started_ms))
    assert (held.disposition, held.others_go_on) == (DEFERRED, True)
    assert "no one tap there has a meter .flow7 (there are: kegboard.flow0, kegboard.flow1)" in held.reason
    rig.named[7] = "bar.flow0"
    assert "there is no tap with meter bar.flow0" in rig.send(Pour(7, 1, 0, POUR.started_ms)).reason


@pytest.mark.case(112)
def test_a_key_that_is_not_taken_keeps_the_records_and_is_never_told(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert rig.send(POUR).disposition is ACCEPTED
    rig.model.key = "another"
    verdicts = [rig.send(OTHER)]
    rig.restart()
    verdicts.append(rig.send(Heartbeat(0)))
    assert {(one.disposition, one.refused) for one in verdicts} == {(MISCONFIGURED, True)}
    assert all("apiKeyFile" in one.reason and KEY not in one.reason for one in verdicts)
    assert KEY not in caplog.text
    rig.model.key = KEY
    assert rig.send(OTHER).disposition is ACCEPTED


@pytest.mark.case(112)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(404, {}, b"<html>"), "fix apiUrl"),
        (Answer(200, {}, b"<html>"), "something else than Kegbot's JSON"),
        (Answer(301, {"location": "https://other.example/"}), "final address into apiUrl: https://other.example/"),
    ],
)
def test_another_server_is_told_with_what_to_mend(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, answer: Answer, expected: str
) -> None:
    monkeypatch.setattr(rig.model, "handle", lambda *_, **__: answer)
    verdict = rig.send(POUR)
    assert verdict.disposition is MISCONFIGURED
    assert expected in verdict.reason


def test_a_pour_that_the_server_calls_wrong_is_rejected_with_its_words(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = rig.model.handle
    wrong = Answer(400, {}, b'{"error": {"code": "BadRequestError", "message": "ticks: too many"}}')

    def refuse(method: str, url: str, *rest: object, **more: object) -> Answer:
        return wrong if method == "POST" else handle(method, url, *rest, **more)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(rig.model, "handle", refuse)
    verdict = rig.send(POUR)
    assert (verdict.disposition, verdict.reason) == (REJECTED, "the server answered 400: ticks: too many")


@pytest.mark.case(109)
@pytest.mark.parametrize("mishap", ["lost", "killed"])
def test_a_pour_that_was_posted_by_a_process_that_is_gone_is_looked_for(rig: Rig, mishap: str) -> None:
    rig.wire.mishap = mishap
    try:
        rig.send(POUR)
    except Killed:
        assert mishap == "killed"
    rig.restart()
    assert rig.send(POUR).others_go_on
    rig.clock.now_s += DOUBT_S
    assert rig.send(POUR).disposition is ACCEPTED
    assert posts(rig) == 1


@pytest.mark.case(146)
@pytest.mark.parametrize("before", ["this boot", "another boot", "damaged", "nobody tells the boot", "ahead"])
def test_a_doubt_ends_in_its_time_however_often_the_daemon_is_reloaded_meanwhile(
    rig: Rig, tmp_path: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``before`` says who wrote what the first of them finds."""
    if before == "nobody tells the boot":
        monkeypatch.setattr("kegnet_client.sinks.kegbot_journal.read_boot_id", untold)
    lose_answer(rig)
    if before == "another boot":
        monkeypatch.setattr("kegnet_client.sinks.kegbot_journal.read_boot_id", lambda: "the next one")
    elif before == "damaged":
        (entry,) = (tmp_path / "journal").iterdir()
        entry.write_bytes(b"")
    elif before == "ahead":  # a container whose clock of intervals began at another time than the machine's
        rig.clock.now_s -= 5000
    waited_s = 0
    rig.restart()
    while rig.send(POUR).disposition is DEFERRED:
        assert waited_s < DOUBT_S + DEADLINE_S
        waited_s += 5
        rig.clock.now_s += 5
        rig.restart()
    assert waited_s >= DOUBT_S
    assert posts(rig) == 1


@pytest.mark.case(147)
def test_a_pour_is_posted_where_nobody_tells_one_boot_from_another(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kegnet_client.sinks.kegbot_journal.read_boot_id", untold)
    assert rig.send(POUR).disposition is ACCEPTED
    rig.restart()
    assert rig.send(POUR).disposition is ACCEPTED
    assert posts(rig) == 1


@pytest.mark.case(149)
@pytest.mark.parametrize("is_moved", [True, False])
def test_a_spool_that_is_made_anew_with_the_journal_in_it_stops_no_pour_and_doubles_none(
    rig: Rig, tmp_path: Path, is_moved: bool
) -> None:
    lose_answer(rig)
    if is_moved:
        (tmp_path / "journal").rename(tmp_path / "moved")
    else:
        shutil.rmtree(tmp_path / "journal")
    assert rig.send(OTHER).disposition is ACCEPTED
    rig.restart()
    rig.clock.now_s += DOUBT_S + DEADLINE_S
    assert rig.send(POUR).disposition is ACCEPTED
    assert posts(rig) == 2


@pytest.mark.case(149)
def test_what_a_journal_knows_that_is_put_back_in_the_place_of_another_is_known(rig: Rig, tmp_path: Path) -> None:
    assert rig.send(POUR).disposition is ACCEPTED
    (tmp_path / "journal").rename(tmp_path / "kept")
    rig.restart()
    assert rig.send(OTHER).disposition is ACCEPTED
    shutil.rmtree(tmp_path / "journal")
    (tmp_path / "kept").rename(tmp_path / "journal")
    assert rig.send(Pour(1, 9, 900, POUR.started_ms + 90_000)).disposition is ACCEPTED
    assert rig.send(POUR).disposition is ACCEPTED
    assert posts(rig) == 3


@pytest.mark.case(109)
def test_a_pour_that_is_a_drink_already_is_not_posted_though_its_file_comes_again(rig: Rig) -> None:
    for _ in range(3):
        assert rig.send(POUR).disposition is ACCEPTED
        rig.restart()
    assert posts(rig) == 1


def test_an_entry_goes_a_day_after_its_pour(rig: Rig, tmp_path: Path) -> None:
    rig.send(POUR)
    rig.clock.now_s += 86_000
    rig.send(Heartbeat(0))
    assert len(list((tmp_path / "journal").iterdir())) == 1
    rig.clock.now_s += 500
    rig.send(Heartbeat(0))
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_damaged_entry_is_a_doubt(rig: Rig, tmp_path: Path) -> None:
    rig.send(POUR)
    (entry,) = (tmp_path / "journal").iterdir()
    for damage in (b"", b"{}", b"[]", b'{"highest": "x", "drink": null, "may_be_two": false, "at_ms": 0}'):
        entry.write_bytes(damage)
        rig.restart()
        assert rig.send(POUR).others_go_on
        rig.clock.now_s += DOUBT_S
        assert rig.send(POUR).disposition is ACCEPTED
    assert posts(rig) == 1


@pytest.mark.case(112)
def test_nothing_is_posted_where_it_cannot_be_noted(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir(0o777)
    (tmp_path / "journal").chmod(0o777)
    verdict = rig.send(POUR)
    assert verdict.disposition is MISCONFIGURED
    assert f"{tmp_path}/journal: journal: cannot be used (others can write there); make it" in verdict.reason
    (tmp_path / "journal").rmdir()
    (tmp_path / "journal").write_text("")
    assert rig.send(POUR).disposition is MISCONFIGURED
    (tmp_path / "journal").unlink()
    assert rig.send(POUR).disposition is ACCEPTED
    (tmp_path / "journal").rename(tmp_path / "elsewhere")
    for entry in (tmp_path / "elsewhere").iterdir():
        entry.unlink()
    (tmp_path / "elsewhere").rmdir()
    (tmp_path / "journal").write_text("")
    assert "cannot be written" in rig.send(OTHER).reason
    assert posts(rig) == 1
