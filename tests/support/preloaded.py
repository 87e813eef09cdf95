"""Commands of the program, forked from a process that has imported it already: a start takes milliseconds.

What runs is ``cli.main`` in a process of its own, with its own environment and output, as ``kegnet-client`` is after
its imports. Run as a script this is the process that forks: it has one thread and takes an order a line. It needs
nothing beside it, so that the program which it imports is the one that is installed.
"""

import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import kegnet_client
from kegnet_client import cli

LEFT_OUT = ("kegnet_client.hub.dashboard", "kegnet_client.hub.store.migrations.")
"""What takes long to import and only ``hub run`` needs, and what Alembic runs, which are no modules to import."""


class Preloaded:
    """Forks commands, as many at once as are asked for."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="kegnet-preloaded-")
        self._process = subprocess.Popen([sys.executable, "-P", __file__], stdin=subprocess.PIPE, cwd="/", bufsize=0)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        self._directory.cleanup()

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], cwd: Path, timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        """What ``kegnet-client`` with these ``words`` does, to its end."""
        from .waits import wait_until  # here: the script has nothing beside it

        place = Path(tempfile.mkdtemp(dir=self._directory.name))
        order = {"words": words, "environment": dict(environment), "cwd": str(cwd), "place": str(place)}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        wait_until(lambda: (place / "code").exists() or self._has_ended(), f"{words} does not end", timeout_s)
        out, err = ((place / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(["kegnet-client", *words], int((place / "code").read_text()), out, err)

    def _has_ended(self) -> bool:
        return self._process.poll() is not None


def _import_all() -> None:
    for module in pkgutil.walk_packages(kegnet_client.__path__, "kegnet_client."):
        if not module.name.startswith(LEFT_OUT):
            with suppress(ImportError):  # an extra that is not installed
                importlib.import_module(module.name)


def _become(order: dict[str, str], words: list[str], environment: dict[str, str]) -> None:
    """Be the command that the order is for, to its end."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(Path(order["place"]) / name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    code: object = 1
    try:
        sys.argv = ["kegnet-client", *words]
        code = cli.main(words)
    except SystemExit as error:
        code = error.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _serve() -> None:
    _import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    for line in iter(sys.stdin.buffer.readline, b""):
        order = json.loads(line)
        if os.fork():
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        child = os.fork()
        if not child:
            _become(order, order["words"], order["environment"])
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        temp = Path(order["place"]) / "code.tmp"
        temp.write_text(str(code))
        temp.rename(temp.with_name("code"))
        os._exit(0)


if __name__ == "__main__":
    _serve()
