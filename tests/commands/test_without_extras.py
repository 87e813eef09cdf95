"""The client as it is installed without any extra: what belongs to one is not imported before it is asked for."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import contextlib, io, re, sys
from importlib.metadata import packages_distributions, requires

def name_of(text):
    return re.match("[A-Za-z0-9._-]+", text)[0].lower().replace("_", "-").replace(".", "-")

extra = {name_of(one) for one in requires("kegnet-client") if "extra ==" in one and '"test"' not in one}
missing = [module for module, of in packages_distributions().items() if extra & set(map(name_of, of))]
assert {"rfc8785", "fastapi", "paho", "redis"} <= set(missing), missing
sys.modules.update(dict.fromkeys(missing))  # they are not installed

from kegnet_client.cli import COMMANDS, main

for command in COMMANDS:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        main([command.name, "--help"])
    assert "usage: kegnet-client " + command.name in told.getvalue(), command.name
raise SystemExit(main(["init", "--root", sys.argv[1], "--url", "https://hub.example/rest/v3"]))
"""


def test_a_device_is_set_up_and_every_command_has_its_help(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "root"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "root" / "conf" / "client.conf").exists()
