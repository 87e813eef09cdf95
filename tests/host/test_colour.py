"""Colours stand on a terminal and nowhere else."""

import io

import pytest

from kegnet_client.host.colour import RED, paint


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_gets_the_colour_and_a_file_does_not() -> None:
    assert paint("FAIL", RED, Terminal()) == "\x1b[31mFAIL\x1b[0m"
    assert paint("FAIL", RED, io.StringIO()) == "FAIL"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert paint("FAIL", RED, Terminal()) == "FAIL"
