"""A Kegbot server as it was published, kegbot 1.2.3 from PyPI, for Python 2.7; `make kegbot-server` installs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .program import Program

PLACES = [Path(sys.prefix) / "kegbot" / "env", Path(__file__).parents[2] / ".venv-test" / "kegbot" / "env"]
"""Where it is installed, seen from its own environment and from those of other Pythons."""
SCRIPTS = Path(__file__).parents[1] / "interop" / "kegbot"
STARTS_WITHIN_S = 120.0


class KegbotSite:
    """A site with a board, two taps and a keg on each, in ``directory``; it is up. ``key`` is its API key."""

    def __init__(self, directory: Path) -> None:
        python = next((one for place in PLACES if (one := place / "bin" / "python").exists()), None)
        if python is None:
            pytest.skip("takes Python 2.7 and, from PyPI, a Kegbot server: make kegbot-server")
        self._directory = directory
        self._gunicorn = python.with_name("gunicorn")
        self._environment = {
            "KEGBOT_SETTINGS_DIR": str(directory),
            "DJANGO_SETTINGS_MODULE": "pykeg.settings",
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
        }
        shutil.copy(SCRIPTS / "local_settings.py", directory)
        made = subprocess.run(
            [python, SCRIPTS / "make_site.py"],
            env=self._environment,
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=STARTS_WITHIN_S,
        )
        assert made.returncode == 0, made.stderr
        self.key = made.stdout.split()[-1]
        self._port = 0
        self._program: Program | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://localhost:{self._port}/api"

    def start(self) -> None:
        """At the port that it had before."""
        where = ["-b", f"127.0.0.1:{self._port}", "--error-logfile", "-"]
        self._program = Program([self._gunicorn, *where, "pykeg.web.wsgi:application"], self._environment)
        line = self._program.log.wait_for("Listening at: ", timeout_s=STARTS_WITHIN_S)
        self._port = int(line.partition("127.0.0.1:")[2].split()[0])

    def stop(self) -> None:
        """Away, with every connection; what is stored stays."""
        if self._program is not None:
            self._program.process.terminate()
            self._program.process.wait(STARTS_WITHIN_S)
            self._program.close()
            self._program = None
