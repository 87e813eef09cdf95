"""What bash, zsh and fish offer for the words of a command line, in the shells themselves."""

import io
import os
import pty
import select
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from kegnet_client import cli

from ..support.waits import WAIT_S

CASES = [
    ("sta", {"status"}),
    ("hub ver", {"verify", "verify-export"}),
    ("hub kegs ", {"tap", "change", "end"}),
    ("rejected l", {"list"}),
    ("pour --pu", {"--pulses"}),
    ("--root / pour --pu", {"--pulses"}),
    ("hub taps add --sen", {"--sensor"}),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the script for each shell, and a file that may be named."""
    directory = tmp_path_factory.mktemp("scripts")
    for shell, name in (("bash", "completion.bash"), ("zsh", "_kegnet-client"), ("fish", "completion.fish")):
        printed = io.StringIO()
        with redirect_stdout(printed):
            assert cli.main(["completion", shell]) == 0
        (directory / name).write_text(printed.getvalue())
    (directory / "device.pem").touch()
    return directory


def bash(scripts: Path, line: str) -> set[str]:
    script = """
    source completion.bash
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _shtab_kegnet_client
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    words = ["kegnet-client", *line.split(" ")]
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "-", *words], cwd=scripts, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def fish(scripts: Path, line: str) -> set[str]:
    if shutil.which("fish") is None:
        pytest.skip("takes fish")
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source completion.fish; complete -C 'kegnet-client {line}'"],
        cwd=scripts,
        env=os.environ | {"HOME": str(scripts), "PATH": f"{scripts}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return {offer.partition("\t")[0] for offer in done.stdout.splitlines()}


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_bash_offers_what_the_command_takes(scripts: Path, line: str, offered: set[str]) -> None:
    assert bash(scripts, line) == offered


@pytest.mark.parametrize(("line", "offered"), CASES)
def test_fish_offers_what_the_command_takes(scripts: Path, line: str, offered: set[str]) -> None:
    assert fish(scripts, line) == offered


def test_zsh_completes_a_word_that_can_be_only_one(scripts: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("takes zsh")
    controller, terminal = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"],
        cwd=scripts,
        env=os.environ | {"TERM": "dumb", "HOME": str(scripts)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    # What is typed while zsh starts is not completed: the quotes tell its answer from the echo of the question.
    os.write(controller, b"fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -d dump; print is''ready\n")
    read_until(controller, b"isready")
    os.write(controller, b"kegnet-client hub calib\t")
    read_until(controller, b"calibrate ")
    os.write(controller, b"--gram\t")
    read_until(controller, b"--grams ")
    os.write(controller, b"\x15exit\n")
    assert shell.wait(WAIT_S) == 0
    os.close(controller)


def read_until(fd: int, awaited: bytes) -> None:
    """Read from the terminal until ``awaited`` stands there."""
    said = b""
    while awaited not in said:
        assert select.select([fd], [], [], WAIT_S)[0], said
        said += os.read(fd, 4096)


@pytest.mark.parametrize("shell", [bash, fish], ids=["bash", "fish"])
def test_a_file_is_offered_where_one_is_to_be_named(scripts: Path, shell: Callable[[Path, str], set[str]]) -> None:
    assert "device.pem" in shell(scripts, "hub devices add UUID dev")
    assert "device.pem" in shell(scripts, "init --ca dev")
