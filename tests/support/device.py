"""A device: a root directory of its own, and the program that runs there."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .configuration import client_conf
from .program import COMMAND, Program
from .waits import WAIT_S

STARTED_MS = 1_700_000_000_000
UP = "delivers from"
"""What the daemon logs once it does."""


class Device:
    """A root directory with key, CA bundle and configuration, and what can be done with it.

    ``program`` starts a command; ``variables`` and ``options`` (of Popen) go with it.
    """

    def __init__(
        self,
        root: Path,
        url: str,
        key_pem: bytes,
        ca: bytes,
        program: Sequence[str | Path] = (COMMAND,),
        variables: Mapping[str, str] = MappingProxyType({}),
        **options: Any,
    ) -> None:
        self.root = root
        self.uuid = str(uuid.uuid4())
        self.spool = root / "spool"
        self.rejected = self.spool / "rejected"
        self.bus = root / "w1"
        self.key = root / "conf" / "privkey.pem"
        self.ca = root / "conf" / "ca.crt"
        for directory in (self.key.parent, self.spool):
            directory.mkdir(parents=True)
        self.key.touch(0o600)
        self.key.write_bytes(key_pem)
        self.ca.write_bytes(ca)
        self._settings = {"uuid": self.uuid, "base": url, "thermometer": "w1"}
        self.configure()
        self._program = program
        self._variables = variables
        self._options = options
        self._programs: list[Program] = []

    @property
    def public_key(self) -> rsa.RSAPublicKey:
        key = load_pem_private_key(self.key.read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.public_key()

    def configure(self, **settings: str) -> None:
        """Write client.conf anew, with these settings (`client_conf` knows them) changed."""
        self._settings |= settings
        (self.root / "conf" / "client.conf").write_text(client_conf(**self._settings))

    def drop(self, pulses: int = 586, name: str | None = None, age_s: float = 0) -> Path:
        """A pour, written elsewhere and moved into the spool; ``pulses`` is by what it is known again."""
        return self.drop_text(f"0,{pulses},8123,{STARTED_MS + pulses}\n", name or f"{pulses:06}.pour", age_s)

    def drop_text(self, text: str | bytes, name: str, age_s: float = 0) -> Path:
        """The same for whatever ``text`` it is."""
        temp = self.spool / f".{uuid.uuid4().hex}.tmp"
        temp.write_bytes(text if isinstance(text, bytes) else text.encode())
        if age_s:
            os.utime(temp, (time.time() - age_s,) * 2)
        return temp.rename(self.spool / name)

    def waiting(self) -> list[str]:
        """The names in the spool that are like a record's."""
        return sorted(path.name for path in self.spool.glob("*") if path.suffix in (".pour", ".reading"))

    def reason(self, name: str) -> str:
        """Why ``name`` was rejected."""
        return (self.rejected / f"{name}.reason").read_text()

    def plug(
        self,
        data: str = "72 01 4b 46 7f ff 0e 10 57",
        millidegrees: int = 23125,
        sensor: str = "28-0316a2795c5b",
    ) -> Path:
        """A DS18B20 that says ``data``, in the kernel's words; its ``w1_slave``."""
        path = self.bus / sensor / "w1_slave"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{data} : crc={data[-2:]} YES\n{data} t={millidegrees}\n")
        return path

    def command(self, *arguments: str | Path, before: Sequence[str | Path] = ()) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            [*before, *self._program, *arguments],
            env=self._environment({}),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
            cwd="/",
            **self._options,
        )

    def status(self) -> dict[str, Any]:
        """What ``kegnet-client status --json`` says."""
        status: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return status

    def start(
        self,
        *arguments: str | Path,
        before: Sequence[str | Path] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
        terminal: bool = True,
        stdout: int | None = None,
    ) -> Program:
        """``kegnet-client run``, unless ``arguments`` say otherwise; ``before`` starts it."""
        argv = [*before, *self._program, *(arguments or ("run",))]
        program = Program(argv, self._environment(variables), terminal=terminal, stdout=stdout, **self._options)
        self._programs.append(program)
        return program

    def run(self, before: Sequence[str | Path] = (), variables: Mapping[str, str] = MappingProxyType({})) -> Program:
        """``kegnet-client run``, which has said that it is up."""
        program = self.start(before=before, variables=variables)
        program.log.wait_for(UP)
        return program

    def reload(self, program: Program) -> None:
        """As ``systemctl reload`` does it; it has another try at once, too."""
        reloads = len(program.log.lines("reloaded: "))
        program.signal(Signals.SIGHUP)
        program.log.wait_for("reloaded: ", reloads + 1)

    def close(self) -> None:
        for program in self._programs:
            program.close()

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        own = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "KEGNET_ROOT": str(self.root)}
        return {**own, **self._variables, **variables}
