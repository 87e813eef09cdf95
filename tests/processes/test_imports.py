"""What the program has imported when its work is done: on the smallest Pi each module counts."""

from pathlib import Path

import pytest

from kegnet_client.cli import COMMANDS

from ..support.device import Device
from ..support.server import Server
from ..support.waits import WAIT_S

UNUSED = {
    "cryptography.x509": "for a certificate request",
    "difflib": "for a setting that is misspelt",
    "w1thermsensor": "for a bus that is there",
    "sqlalchemy": "for the hub",
    "fastapi": "for the hub",
}
SIGNS_V3 = "http_message_signatures"
TELL = """
import atexit, os, sys
from pathlib import Path

def tell():
    there = [name for name, module in sys.modules.items() if module is not None]
    Path(os.environ["MODULES"]).write_text("\\n".join(there))

atexit.register(tell)
"""


@pytest.mark.parametrize(("version", "call"), [("v2", "pour"), ("v3", "records")])
@pytest.mark.parametrize("command", ["run", "send"])
def test_what_delivers_has_imported_nothing_that_it_does_not_use(
    device: Device, server: Server, tmp_path: Path, version: str, call: str, command: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(TELL)
    device.configure(base=server.url.replace("/v2", f"/{version}"))
    device.drop()
    program = device.start(command, variables={"PYTHONPATH": str(tmp_path), "MODULES": str(tmp_path / "modules")})
    server.wait_for(call)
    if command == "run":
        program.log.wait_for("delivered" if version == "v2" else "no acknowledgement")
        program.stop()
    program.process.wait(WAIT_S)

    modules = set((tmp_path / "modules").read_text().split("\n"))
    assert {"kegnet_client.delivery.uploader", "requests"} <= modules
    commands = {f"kegnet_client.commands.{one.name.replace('-', '_')}" for one in COMMANDS}
    assert modules & commands == {f"kegnet_client.commands.{command}"}
    assert modules & UNUSED.keys() == set()
    assert (SIGNS_V3 in modules) == (version == "v3")
