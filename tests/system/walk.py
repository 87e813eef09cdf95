"""Somebody at a machine of theirs who types what stands on a page or what a command printed, and nothing else."""

import os
import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ..support.pages import stands_on_a_page
from ..support.preloaded import Preloaded
from ..support.program import COMMAND, Program
from ..support.waits import WAIT_S

PATIENCE_S = 8 * WAIT_S
"""For a command, beside whatever else this machine does."""
THEIR_OWN = re.compile(r"[A-Z][A-Z_.]+")
"""How a page writes what is the reader's own: a name, a file."""
NOTHING: Mapping[str, str | Path] = MappingProxyType({})


class Desk:
    """A machine without systemd, where KEGNET_ROOT and KEGNET_HUB_DIR are set, as the pages say."""

    def __init__(self, program: Preloaded, root: Path, hub: Path | None = None) -> None:
        self.root = root
        self._program = program
        own = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "KEGNET_ROOT": str(root)}
        self._environment = own | ({} if hub is None else {"KEGNET_HUB_DIR": str(hub)})
        self._programs: list[Program] = []

    def do(self, command: str, own: Mapping[str, str | Path] = NOTHING, *, code: int = 0) -> str:
        """What ``command`` of a page prints, with their ``own`` for its words; it has to end with ``code``.

        That is all that it prints, if not 0.
        """
        return self._run(_fill(command, own), code)

    def follow(self, line: str, *, code: int = 0) -> str:
        """The same for a line that a command printed for a person to paste."""
        return self._run(_pasted(line), code)

    def start(self, command: str, said: str, own: Mapping[str, str | Path] = NOTHING) -> Program:
        """A ``command`` of a page that goes on; it has ``said`` so."""
        program = Program([COMMAND, *_fill(command, own)], self._environment)
        self._programs.append(program)
        program.log.wait_for(said, timeout_s=PATIENCE_S)
        return program

    def close(self) -> None:
        """End what goes on."""
        for program in self._programs:
            program.close()

    def _run(self, words: Sequence[str], code: int) -> str:
        done = self._program.run(words, self._environment, self.root.parent, PATIENCE_S)
        assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stdout + done.stderr


def _fill(command: str, own: Mapping[str, str | Path]) -> list[str]:
    assert stands_on_a_page(command), f"no page says {command!r}"
    words = shlex.split(command)
    missing = [word for word in words if THEIR_OWN.fullmatch(word) and word not in own]
    assert not missing, f"what is {missing} of {command!r}?"
    return [str(own.get(word, word)) for word in words]


def _pasted(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[:2] == ["sudo", "kegnet-client"], f"{line!r} is no line to paste"
    return words[2:]


def printed_command(text: str) -> str:
    """The one line of ``text`` that is to be pasted."""
    (line,) = (line for line in text.splitlines() if line.startswith("sudo kegnet-client "))
    return line


def set_in(file: Path, name: str, value: str, section: str | None = None) -> None:
    """What the page says about a setting: remove the # before it and write another value."""
    head, tail = "", file.read_text()
    if section is not None:
        head, found, tail = tail.partition(f"[{section}]\n")
        head += found
        assert found, f"{file} has no [{section}]"
    tail, count = re.subn(rf"^#?{re.escape(name)} = .*$", f"{name} = {value}", tail, count=1, flags=re.MULTILINE)
    assert count == 1, f"{file} has no {name}"
    file.write_text(head + tail)


def free_port() -> int:
    """One that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])
