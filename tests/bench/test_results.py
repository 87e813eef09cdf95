"""The bench's results: shares of the floor, aims, the table, JSON for comparing, and the picture."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from .bench.contestants import FLOOR, ORIGINAL, PROGRAM
from .bench.picture import picture
from .bench.results import Aim, Results, Row
from .bench.table import comparison, table

DRAIN = Row("drain", "drain", "/s", Aim(0.85, at_least=True, of_floor=True))
LATENCY = Row("latency", "drop to arrival", "ms", Aim(1.5, at_least=False))


def measured(drains_per_s: float = 900.0, latency_ms: float = 1.2) -> Results:
    """Three rounds, whose medians are the arguments and a floor of 1,000/s."""
    results = Results(about={"commit": "abc"})
    results.expect(DRAIN, LATENCY)
    for factor in (0.5, 1.0, 3.0):
        results.add(DRAIN, FLOOR, 1000 * factor)
        results.add(DRAIN, PROGRAM, drains_per_s * factor)
        results.add(LATENCY, PROGRAM, latency_ms * factor)
    return results


def line_of(text: str, title: str) -> list[str]:
    """The words of the line that begins so, without the title's."""
    return next(line for line in text.splitlines() if line.startswith(title)).removeprefix(title).split()


def test_a_row_shows_medians_the_share_of_the_floor_and_whether_the_aim_is_reached() -> None:
    shown = table(measured())
    assert line_of(shown, "drain") == ["1,000/s", "900/s", "0.90", "≥", "0.85", "of", "floor", "yes"]
    assert line_of(shown, "drop to arrival") == ["-", "1.20", "ms", "-", "≤", "1.50", "ms", "yes"]


@pytest.mark.parametrize(("drains_per_s", "latency_ms"), [(849.0, 1.51)])
def test_an_aim_that_is_missed_is_shown_as_missed(drains_per_s: float, latency_ms: float) -> None:
    shown = table(measured(drains_per_s, latency_ms))
    assert line_of(shown, "drain")[-1] == "no"
    assert line_of(shown, "drop to arrival")[-1] == "no"


def test_what_could_not_be_measured_is_a_dash_and_reaches_nothing() -> None:
    results = Results()
    results.expect(DRAIN)
    results.add(DRAIN, PROGRAM, 900)
    results.expect(LATENCY)
    results.add(LATENCY, ORIGINAL, 4)
    shown = table(results)
    assert line_of(shown, "drain") == ["900/s", "-", "≥", "0.85", "of", "floor", "-"]
    assert line_of(shown, "drop to arrival") == ["-", "-", "≤", "1.50", "ms", "4.00", "ms"]


def test_every_sample_survives_json(tmp_path: Path) -> None:
    results = measured()
    results.at_most("connections", "drain", 2)
    results.note("syslog-ng: left out")
    results.note("syslog-ng: left out")
    results.write(tmp_path / "bench.json")
    assert Results.read(tmp_path / "bench.json") == results
    assert results.notes == ["syslog-ng: left out"]


def test_a_comparison_shows_the_change_of_the_rows_that_both_runs_have() -> None:
    now, before = measured(drains_per_s=990), measured()
    del before.rows["latency"], before.samples["latency"]
    shown = comparison(now, before)
    assert line_of(shown, "drain") == ["900/s", "990/s", "+10.0%", "0.90", "0.99"]
    assert "drop to arrival" not in shown


def test_the_picture_is_well_formed_whatever_was_measured() -> None:
    everything = Results()
    for protocol, size in (("v2", 1_000), ("v2", 100_000), ("v3", 1_000)):
        row = Row(f"{protocol}-backlog-{size}", "", "/s")
        everything.expect(row)
        everything.add(row, PROGRAM, size / 10)
    for name in ("p50", "p99"):
        row = Row(f"v2-latency-{name}", "", "ms")
        everything.expect(row)
        everything.add(row, ORIGINAL, 10)
    for results in (everything, Results()):
        drawn = ElementTree.fromstring(picture(results, "a < b"))  # noqa: S314 (drawn a line above)
        texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert texts[-1] == "a < b"
    assert "v2, this program" in picture(everything, "")
    assert "10.0 to 10.0 ms" in picture(everything, "")
