"""The operator's commands: whatever a database holds, they print it as a terminal may have it, and never trip."""

import argparse
import json
import time
from typing import Any

import pytest

from kegnet_client.cli import main
from kegnet_client.commands.module import run as run_module
from kegnet_client.commands.module.options import to_hours, to_seconds
from kegnet_client.runner.couch import Couch

from ..support.small_couch import SmallCouch

ESCAPE = "\x1b[2J\x9b31m\r\n\u202e\ud800"
SHAPES: list[Any] = [None, 1, "x", ESCAPE, [], [1], [[]], [["a"]], [[ESCAPE] * 3], [{}], {}, {"a": ESCAPE}]


def assert_printable(text: str) -> None:
    assert all(line.isprintable() for line in text.split("\n")), repr(text)


@pytest.mark.case(131)
@pytest.mark.parametrize("shape", SHAPES, ids=ascii)
def test_a_log_of_any_shape_is_printed(shape: Any, couch: SmallCouch, capsys: pytest.CaptureFixture[str]) -> None:
    couch.put({"_id": "7_log", "type": "log", "log": shape})
    assert main(["module", "log", "7", "--url", couch.url]) == 0
    assert_printable(capsys.readouterr().out)


@pytest.mark.case(131)
@pytest.mark.parametrize("shape", SHAPES, ids=ascii)
def test_a_log_of_any_shape_is_an_object_a_line_for_programs(
    shape: Any, couch: SmallCouch, capsys: pytest.CaptureFixture[str]
) -> None:
    couch.put({"_id": "7_log", "type": "log", "log": shape})
    assert main(["module", "log", "7", "--json", "--url", couch.url]) == 0
    said = capsys.readouterr().out
    assert_printable(said)
    assert all(set(json.loads(line)) == {"at", "name", "line"} for line in said.splitlines())


def test_a_program_is_told_when_who_said_what(couch: SmallCouch, capsys: pytest.CaptureFixture[str]) -> None:
    couch.put({"_id": "7_log", "log": [["then", "tap", "one"], "an old line"]})
    assert main(["module", "log", "7", "--json", "--url", couch.url]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"at": "then", "name": "tap", "line": "one"},
        {"at": None, "name": None, "line": "an old line"},
    ]


def test_the_lines_of_a_log_can_be_those_of_one_program(couch: SmallCouch, capsys: pytest.CaptureFixture[str]) -> None:
    couch.put({"_id": "7_log", "log": [["then", "tap", "one"], ["then", "other", "two"], "an old line"]})
    assert main(["module", "log", "7", "--name", "tap", "--url", couch.url]) == 0
    assert capsys.readouterr().out == "then tap: one\n"


def test_a_log_is_followed_without_a_line_twice_or_left_out(
    couch: SmallCouch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter([["a"], ["a", "b"], ["a", "b"], ["b", "b", "c"], ["x"]])

    def go_on(_seconds: float) -> None:
        if (lines := next(states, None)) is None:
            raise KeyboardInterrupt
        couch.put({"_id": "7_log", "log": [["t", "tap", line] for line in lines]})

    monkeypatch.setattr(time, "sleep", go_on)
    assert main(["module", "log", "7", "--follow", "--url", couch.url]) == 130
    assert capsys.readouterr().out == "".join(f"t tap: {line}\n" for line in "abbcx")


@pytest.mark.case(131)
@pytest.mark.parametrize("shape", SHAPES, ids=ascii)
def test_a_status_of_any_shape_is_printed(
    shape: Any, couch: SmallCouch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"_id": f"7{ESCAPE}", "type": "heartbeat", "programs": shape, "refused": shape, "ip": ESCAPE, "at": shape}
    rows: list[Any] = [said, {"type": "heartbeat", "_id": 7}]
    monkeypatch.setattr(Couch, "documents", lambda _self: rows)
    assert main(["module", "status", "--url", couch.url]) == 0
    assert_printable(capsys.readouterr().out)


def test_a_status_says_why_an_older_version_runs(
    couch: SmallCouch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"name": "tap", "sequence": 1, "note": "2 broke (exit 1); 1 runs again", "last_exit": "1"}
    documents = [{"_id": "7_heartbeat", "type": "heartbeat", "programs": [row]}]
    monkeypatch.setattr(Couch, "documents", lambda _self: documents)
    assert main(["module", "status", "--url", couch.url]) == 0
    assert "last exit: 1  (2 broke (exit 1); 1 runs again)" in capsys.readouterr().out


def test_a_result_is_printed_without_what_moves_a_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    run_module._show({"device": 7, "exit": 0, "stdout": f"a\tb\n{ESCAPE}", "stderr": ["no text"]})
    said = capsys.readouterr()
    assert said.out.startswith("a\tb\n")
    assert_printable(said.out.replace("\t", ""))
    assert said.err == "7: exit 0\n['no text']"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "0", "-1", "1e300", "x", ""])
def test_a_time_that_is_none_is_a_fault_of_the_call(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["sign", "x.py", f"--expires={text}"], ["run", f"--wait={text}", "--to", "all", "id"]):
        with pytest.raises(SystemExit) as ended:
            main(["module", *words, "--key", "k", *(["--url", "http://127.0.0.1:9"] if words[0] == "run" else [])])
        assert ended.value.code == 64
        assert "Traceback" not in capsys.readouterr().err


def test_times_have_their_bounds() -> None:
    assert (to_hours("0.5"), to_seconds("60")) == (0.5, 60.0)
    for convert in (to_hours, to_seconds):
        with pytest.raises(argparse.ArgumentTypeError):
            convert("1e6")
