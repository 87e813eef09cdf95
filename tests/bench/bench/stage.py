"""What a measurement stands on: a CA, a server certificate, a device's key, and spools full of pours."""

import os
import shutil
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kegnet_client.hub import pki

STARTED_MS = 1_700_000_000_000
PULSES = 586


@dataclass(frozen=True)
class Device:
    """A root directory as the program wants it, speaking ``protocol`` (v2, v3) to ``port`` on this machine."""

    root: Path
    uuid: str
    protocol: str
    port: int

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def key(self) -> Path:
        return self.root / "conf" / "privkey.pem"

    @property
    def ca(self) -> Path:
        return self.root / "conf" / "ca.crt"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/rest/{self.protocol}"

    def fill(self, count: int) -> None:
        """Put ``count`` pours into the spool, no two alike."""
        directory = os.open(self.spool, os.O_RDONLY | os.O_DIRECTORY)
        for number in range(count):
            fd = os.open(_name(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640, dir_fd=directory)
            os.write(fd, _line(number, PULSES))
            os.close(fd)
        os.close(directory)

    def drop(self, number: int, pulses: int) -> int:
        """One more pour, as a producer writes it: another file, then a rename; when that was (CLOCK_MONOTONIC, ns)."""
        temp, path = self.spool / f".{number}.tmp", self.spool / _name(number)
        temp.write_bytes(_line(number, pulses))
        at_ns = time.monotonic_ns()
        temp.rename(path)
        return at_ns

    def waiting(self) -> int:
        """How many pours stand in the spool."""
        with os.scandir(self.spool) as entries:
            return sum(entry.name.endswith(".pour") for entry in entries)


class Stage:
    """What all devices share, in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        now = datetime.now(UTC)
        ca_key, server_key = pki.make_key(), pki.make_key()
        self._ca = pki.make_ca(ca_key, "bench", now)
        self.chain = self.directory / "server.pem"
        self.chain.write_bytes(pki.issue_server(ca_key, self._ca, server_key, ["localhost"], now) + server_key)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._made = 0

    def device(self, protocol: str, port: int, ca: bytes | None = None) -> Device:
        """A new one, with an empty spool. ``ca`` vouches for the server unless it is the stage's own."""
        self._made += 1
        device = Device(self.directory / f"device-{self._made}", str(uuid.uuid4()), protocol, port)
        device.spool.mkdir(parents=True)
        device.key.parent.mkdir()
        device.key.touch(0o600)
        device.key.write_bytes(self.key_pem)
        device.ca.write_bytes(self._ca if ca is None else ca)
        (device.root / "w1").mkdir()
        (device.root / "conf" / "client.conf").write_text(
            f"[KegNet]\nuuid = {device.uuid}\nserviceBaseURL = {device.url}\n[Thermometer]\ndirectory = w1\n"
        )
        return device

    def discard(self, device: Device) -> None:
        """Remove ``device`` with all that is left in its spool."""
        shutil.rmtree(device.root)


def _name(number: int) -> str:
    return f"{STARTED_MS + number}-pin0.pour"


def _line(number: int, pulses: int) -> bytes:
    return f"0,{pulses},8123,{STARTED_MS + number}\n".encode()
