"""The hub as the process that ``kegnet-client hub run`` is."""

import contextlib
import io
import re
import ssl
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kegnet_client import cli

from ...support.program import COMMAND, Program
from .signed_request import Key, Request

WITHOUT_PAGES = """
import sys
sys.modules["nicegui"] = None  # as where the extra is not installed
from kegnet_client.cli import main
sys.exit(main())
"""


class Hub:
    """A hub of its own in ``directory``; ``before`` starts its process.

    Without ``pages`` it starts in half the time. ``database`` is the URL of its own, if that is not a file.
    """

    def __init__(
        self,
        directory: Path,
        start: Callable[..., Program],
        *,
        pages: bool = False,
        before: Sequence[str] = (),
        database: str | None = None,
    ) -> None:
        self.directory = directory
        self._start = start
        self._argv: list[str | Path] = [COMMAND] if pages else [sys.executable, "-c", WITHOUT_PAGES]
        self._say(["init", "--host", "localhost", *(["--database", database] if database else [])])
        self.context = ssl.create_default_context(cafile=directory / "ca.crt")
        self.context.verify_flags |= ssl.VERIFY_X509_STRICT
        self.token = (directory / "token").read_text().strip()
        self.start(before)

    def start(self, before: Sequence[str | Path] = (), port: str = "0") -> None:
        arguments = ["hub", "run", "--dir", self.directory, "--bind", "127.0.0.1", "--port", port]
        self.program = self._start([*before, *self._argv, *arguments])
        line = self.program.log.wait_for("The hub answers at ")
        self.port = int(re.findall(r"https://127\.0\.0\.1:(\d+)", line)[0])
        self.url = f"https://localhost:{self.port}"

    def command(self, *arguments: str | Path) -> str:
        """What it prints."""
        argv = [COMMAND, "hub", *arguments, "--dir", self.directory]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def register(self, *keys: Key) -> list[str]:
        """A new device for each of these keys; their uuids."""
        devices = [str(uuid.uuid4()) for _ in keys]
        for device, key in zip(devices, keys, strict=True):
            public = self.directory / f"{device}.pub"
            public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
            self._say(["devices", "add", device, str(public)])
        return devices

    def _say(self, arguments: Sequence[str]) -> None:
        # In this process: the start of another is what takes long.
        with contextlib.redirect_stdout(io.StringIO()):
            assert cli.main(["hub", *arguments, "--dir", str(self.directory)]) == 0

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.context, trust_env=False, headers=headers, timeout=30)

    def send(self, request: Request) -> httpx.Response:
        with self.client() as client:
            return client.post(request.path, content=request.body, headers=request.headers)

    def pours(self, device: str) -> list[int]:
        """What it has of that device, or of all."""
        found: list[int] = []
        with self.client(Authorization=f"Bearer {self.token}") as client:
            of_device = f"&device={device}" if device else ""
            address = f"/api/pours?limit=1000{of_device}"
            while address:
                page = client.get(address).json()
                found += [item["pulses"] for item in page["items"]]
                address = f"/api/pours?limit=1000{of_device}&after={page['next']}" if page["next"] else ""
        return sorted(found)
