"""The program, forked from a process that has loaded it already: a start takes milliseconds, so thousands of them can.

A child is what ``kegnet-client`` with these arguments would be after its imports. Run as a script this is the
process that forks; it has one thread, takes an order a line and answers with the child's id, then its wait status.
A traced child starts on SIGUSR1, when strace has hold of it, so that its system calls can be counted.

In a child a pour whose post was in doubt is looked for at once: the servers here store at once, or never.
"""

import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import kegnet_client
from bench import Device, wait_until
from kegnet_client import cli
from kegnet_client.sinks import kegbot
from patience import STILL_S
from tests.support.users import find_modules, python_for_others

STRACE = ("strace", "-f", "-qq", "-y", "-ttt")


class Zygote:
    """Forks one child at a time."""

    def __init__(self) -> None:
        variables = find_modules()
        # A child may become another user, and imports some of the standard library only then.
        python = python_for_others() or sys.executable
        modules = [os.environ.get("PYTHONPATH", ""), variables["PYTHONPATH"], str(Path(__file__).parents[2])]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, modules))
        self._process = subprocess.Popen(
            [python, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={**os.environ, **variables, "PYTHONSAFEPATH": ""},  # it finds the modules beside it
            bufsize=0,
        )
        self._child: int | None = None

    def close(self) -> None:
        """End it, and the child where one runs."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        if self._child is not None:  # something went wrong before its end
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()

    def start(self, device: Device, *arguments: str, strace: Sequence[str] | None = None) -> "Child":
        """``strace`` are the options with which the child is traced, if it is."""
        order = {
            "arguments": arguments,
            "environment": device.environment(),
            "log": str(device.log),
            "traced": strace is not None,
            "user": device.options.get("user"),
            "group": device.options.get("group"),
        }
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._child = int(self._answer())
        child = Child(self._child, self)
        if strace is not None:
            child.trace([*STRACE, *strace])
        return child

    def has_answered(self) -> bool:
        assert self._process.stdout
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def _answer(self) -> bytes:
        assert self._process.stdout
        line = b""
        while not line.endswith(b"\n"):
            if not (byte := self._process.stdout.read(1)):
                raise RuntimeError("what forks the program has ended")
            line += byte
        return line

    def status(self) -> int:
        """The wait status of the child that ended."""
        self._child = None
        return int(self._answer())


class Child:
    """A running child."""

    def __init__(self, pid: int, zygote: Zygote) -> None:
        self.pid = pid
        self._zygote = zygote
        self._strace: subprocess.Popen[bytes] | None = None

    def trace(self, command: Sequence[str]) -> None:
        self._strace = subprocess.Popen([*command, "-p", str(self.pid)], stderr=subprocess.PIPE)
        if not wait_until(self._is_traced, STILL_S):
            assert self._strace.stderr
            self._strace.kill()
            raise RuntimeError(f"strace has no hold of it: {self._strace.stderr.read().decode()}")
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def has_ended(self) -> bool:
        return self._zygote.has_answered()

    def wait(self, timeout_s: float) -> int:
        """The exit code, negative for a signal. `TimeoutError` where it does not end by then; it is killed."""
        in_time = wait_until(self.has_ended, timeout_s)
        if not in_time:
            os.kill(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(self._zygote.status())
        if self._strace:
            self._strace.wait()
            assert self._strace.stderr
            self._strace.stderr.close()
        if not in_time:
            raise TimeoutError
        return code

    def _is_traced(self) -> bool:
        try:
            return "TracerPid:\t0\n" not in Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return True  # it had not come to its wait when strace came, and made the call that it is killed at before


def _serve() -> None:
    # All but the hub and what needs it.
    for module in pkgutil.walk_packages(kegnet_client.__path__, "kegnet_client."):
        if not module.ispkg and "hub" not in module.name.split("."):
            importlib.import_module(module.name)
    kegbot.DOUBT_S = 0.0
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    while line := sys.stdin.readline():
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order)
            sys.exit(cli.main(order["arguments"]))
        os.write(1, b"%d\n" % pid)
        os.write(1, b"%d\n" % os.waitpid(pid, 0)[1])


def _become(order: dict[str, Any]) -> None:
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open("/dev/null", os.O_RDONLY)
    for fd, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(fd, target)
    os.closerange(3, 100)
    os.environ.clear()
    os.environ.update(order["environment"])
    if order["user"] is not None:
        os.setgroups(())
        os.setgid(order["group"])
        os.setuid(order["user"])
    if order["traced"]:
        signal.sigwait({signal.SIGUSR1})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


if __name__ == "__main__":
    _serve()
