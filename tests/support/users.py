"""Users without rights, and a Python that they can run."""

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import kegnet_client

NOBODY: Mapping[str, Any] = {"user": 65534, "group": 65534, "extra_groups": ()}
PRODUCER: Mapping[str, Any] = {**NOBODY, "user": 65533}
"""Another one, of the same group."""


def find_modules() -> dict[str, str]:
    """The variables by which another Python finds the package and its libraries."""
    modules = [str(Path(kegnet_client.__file__).parents[1]), *(path for path in sys.path if "site-packages" in path)]
    return {"PYTHONPATH": os.pathsep.join(modules), "PYTHONDONTWRITEBYTECODE": "1"}


def find_python(who: Mapping[str, Any], variables: Mapping[str, str]) -> str | None:
    """A Python that ``who`` can run the package in: that of the tests may stand in a directory closed to others."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/python{version}"):
        with suppress(OSError):
            command = [python, "-c", "import kegnet_client.commands.run"]
            if subprocess.run(command, env=variables, cwd="/", check=False, **who).returncode == 0:
                return python
    return None


@functools.cache
def python_for_others() -> str | None:
    """A Python that other users can run the package in; None where this is not root, or all is closed to them."""
    return find_python(NOBODY, find_modules()) if os.geteuid() == 0 else None
