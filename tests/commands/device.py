"""A device whose commands are calls of ``main``."""

import io
import logging
import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from kegnet_client import cli

from ..support.device import Device


class InProcess(Device):
    """Starts no process for a command, which takes a second each time, and so each line that runs is counted."""

    def command(self, *arguments: str | Path, before: Sequence[str | Path] = ()) -> CompletedProcess[str]:
        """One command to its end; its exit code and what it printed and logged."""
        assert not before, "takes a process"
        words = [str(argument) for argument in arguments]
        stdout, stderr = io.StringIO(), io.StringIO()
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        # As in a new process, where nobody has set up a log yet.
        root.handlers = []
        try:
            with (
                mock.patch.dict(os.environ, {"KEGNET_ROOT": str(self.root)}),
                redirect_stdout(stdout),
                redirect_stderr(stderr),
            ):
                code = self._main(words)
        finally:
            root.handlers = handlers
            root.setLevel(level)
        return CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())

    @staticmethod
    def _main(words: list[str]) -> int:
        try:
            return cli.main(words)
        except SystemExit as end:  # argparse ends with it
            return int(str(end.code))
