"""A server that speaks CouchDB's protocol, with an administrator and users: pouchdb-server from npm, in memory."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from .waits import wait_until

PLACES = [Path(sys.prefix) / "node", Path(__file__).parents[2] / ".venv-test" / "node"]
PROGRAM = "node_modules/pouchdb-server/bin/pouchdb-server"
ADMINISTRATOR = "root", "secret"


class PouchDB:
    """The server at ``url``; ``login_file`` is the administrator's."""

    def __init__(self, url: str, login_file: Path) -> None:
        self.url = url
        self.login_file = login_file


@contextlib.contextmanager
def running() -> Iterator[PouchDB]:
    """One for as long as it is wanted; the test is skipped where it is not installed."""
    place = next((place for place in PLACES if (place / PROGRAM).exists()), None)
    if place is None or shutil.which("node") is None:
        pytest.skip(f"takes node and, from npm, pouchdb-server in {PLACES[-1]}")
    with tempfile.TemporaryDirectory() as directory, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.close()
        config = Path(directory, "config.json")
        user, password = ADMINISTRATOR
        config.write_text(json.dumps({"admins": {user: password}, "log": {"level": "none"}}))
        login_file = Path(directory, "login")
        login_file.write_text(f"{user}:{password}\n")
        words = ["node", str(place / PROGRAM), "--in-memory", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(
            [*words, "--config", str(config)], cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert process.poll() is None, "pouchdb-server has ended"
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    return bool(response.status == 200)
            except OSError:
                return False

        try:
            wait_until(answers, "pouchdb-server does not answer", 60)
            yield PouchDB(url, login_file)
        finally:
            process.kill()
            process.wait()
