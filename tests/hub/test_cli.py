"""The commands under ``kegnet-client hub``, as a person types them."""

import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kegnet_client.commands import hub as commands_hub
from kegnet_client.commands.parser import Parser
from kegnet_client.core.errors import ConfigError, UsageError
from kegnet_client.hub.ingest.forms import Claim
from kegnet_client.hub.store.database import StoreError
from kegnet_client.hub.store.records import Store

from ..support.waits import WAIT_S

UUID = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
PROGRAM = """
from kegnet_client.commands import hub
from kegnet_client.commands.parser import Parser
parser = Parser()
hub.add_arguments(parser)
raise SystemExit(hub.handle(parser.parse_args()))
"""

Hub = Callable[..., int]


def run_hub(*words: str) -> int:
    """``kegnet-client hub`` with ``words``; its exit code."""
    parser = Parser()
    commands_hub.add_arguments(parser)
    return commands_hub.handle(parser.parse_args(words))


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    """``hub("devices", "list")`` runs that command on this test's directory."""

    def run(*words: str) -> int:
        return run_hub(*words, "--dir", str(tmp_path / "hub"))

    return run


@pytest.fixture
def public_key(tmp_path: Path, device_key: rsa.RSAPrivateKey) -> str:
    """A file with a device's public key."""
    path = tmp_path / "device.pub"
    path.write_bytes(
        device_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return str(path)


def test_init_says_what_comes_next_and_not_the_token(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hub("init", "--host", "keg.local", "--host", "192.168.1.5") == 0
    said = capsys.readouterr().out
    assert "keg.local, 192.168.1.5" in said
    assert "hub devices add" in said
    assert (tmp_path / "hub" / "token").read_text().strip() not in said
    assert (tmp_path / "hub" / "hub.db").stat().st_mode & 0o777 == 0o600


def test_init_changes_nothing_the_second_time(hub: Hub, tmp_path: Path) -> None:
    hub("init")
    before = {path: path.read_bytes() for path in (tmp_path / "hub").iterdir()}
    with pytest.raises(ConfigError, match="initialised already"):
        hub("init")
    assert {path: path.read_bytes() for path in (tmp_path / "hub").iterdir()} == before


def test_init_whose_database_cannot_be_made_can_be_done_again(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_store: Store) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "prepare", fail)
        with pytest.raises(StoreError):
            hub("init")
    assert not (tmp_path / "hub").exists()
    assert hub("init") == 0
    assert hub("devices", "list") == 0


@pytest.mark.parametrize("words", [["--host", "https://keg"], ["--database", "mysql://x"]])
def test_init_with_bad_words_makes_nothing(hub: Hub, tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(UsageError, match=words[0]):
        hub("init", *words)
    assert not (tmp_path / "hub").exists()


def test_another_database_is_made_and_remembered(hub: Hub, tmp_path: Path, public_key: str) -> None:
    hub("init", "--database", f"sqlite:///{tmp_path}/elsewhere.db")
    hub("devices", "add", UUID, public_key)
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "hub" / "hub.db").exists()


def test_the_directory_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEGNET_HUB_DIR", str(tmp_path / "there"))
    assert run_hub("init") == 0
    assert (tmp_path / "there" / "ca.crt").exists()
    told = capsys.readouterr().out
    assert "its certificate is for localhost, " in told
    assert "127.0.0.1, ::1" in told


def test_devices_are_added_listed_and_revoked(hub: Hub, public_key: str, capsys: pytest.CaptureFixture[str]) -> None:
    hub("init")
    capsys.readouterr()
    assert hub("devices", "add", UUID.upper(), public_key, "--name", "the left tap") == 0
    assert hub("devices", "list") == 0
    said = capsys.readouterr().out
    assert f"the left tap ({UUID}) may send" in said
    assert f"{UUID}  the left tap  RSA-2048  never seen" in said
    assert hub("devices", "revoke", UUID) == 0
    hub("devices", "list")
    assert "revoked 20" in capsys.readouterr().out


def test_a_device_is_added_once(hub: Hub, public_key: str) -> None:
    hub("init")
    hub("devices", "add", UUID, public_key)
    with pytest.raises(UsageError, match="already"):
        hub("devices", "add", UUID.upper(), public_key)


def test_what_is_wrong_with_a_device_is_named(hub: Hub, tmp_path: Path, public_key: str) -> None:
    hub("init")
    with pytest.raises(UsageError, match="not a UUID"):
        hub("devices", "add", "tap", public_key)
    with pytest.raises(UsageError, match="--name"):
        hub("devices", "add", UUID, public_key, "--name", "a\nb")
    with pytest.raises(ConfigError, match=r"no\.pub cannot be read"):
        hub("devices", "add", UUID, str(tmp_path / "no.pub"))
    (tmp_path / "bad.pub").write_text("garbage")
    with pytest.raises(ConfigError, match=r"bad\.pub: it holds no public key"):
        hub("devices", "add", UUID, str(tmp_path / "bad.pub"))
    with pytest.raises(UsageError, match="no device has the name or the uuid"):
        hub("devices", "revoke", UUID)


@pytest.mark.parametrize("words", [["run"], ["devices", "list"], ["devices", "revoke", UUID]])
def test_a_hub_that_was_not_initialised_says_so(hub: Hub, words: list[str]) -> None:
    with pytest.raises(ConfigError, match="hub init"):
        hub(*words)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/name", "postgresql+psycopg://u@host:port/name", "sqlite:///hub.db"]
)
def test_a_database_that_is_none_is_a_fault_of_the_configuration(hub: Hub, tmp_path: Path, url: str) -> None:
    hub("init")
    (tmp_path / "hub" / "hub.conf").write_text(f"[hub]\ndatabase = {url}\n")
    for words in (["run"], ["verify"]):
        with pytest.raises(
            ConfigError, match=r"hub\.conf: .* write (it as postgresql\+psycopg://USER@HOST/NAME|a value)"
        ):
            hub(*words)


@pytest.mark.parametrize(
    ("missing", "extra"), [(("fastapi", "uvicorn", "sqlalchemy", "starlette"), "hub"), (("psycopg",), "postgresql")]
)
def test_what_is_not_installed_is_told_with_its_remedy(tmp_path: Path, missing: tuple[str, ...], extra: str) -> None:
    program = f"import sys; sys.modules.update(dict.fromkeys({missing}))\n{PROGRAM}"
    words = ["init", "--dir", f"{tmp_path}/hub", "--database", "postgresql+psycopg://u@h/n"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert "sudo ./service/install --hub" in said
    assert f"pip install 'kegnet-client[{extra}]'" in said


@contextmanager
def running(directory: Path, *words: str, before: str = "") -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """``hub run`` as a process of its own, ready; with its first line. The process does ``before`` first."""
    words = (before + PROGRAM, "run", "--dir", str(directory), *(words or ("--port", "0")))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.process
def test_run_and_what_is_printed_for_others_go_by_the_configuration_and_the_command_line_wins(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub("init")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = tmp_path / "hub" / "hub.conf"
    settings.write_text(f"[hub]\nbind = 127.0.0.2\nport = {port}\n")
    with running(tmp_path / "hub", "--bind", "127.0.0.1") as (_, line):
        assert f"https://127.0.0.1:{port}" in line
    with running(tmp_path / "hub") as (_, line):
        assert "https://127.0.0.2:" in line
        assert f":{port} " not in line
    capsys.readouterr()
    hub("invite")
    assert f":{port} " in capsys.readouterr().out
    hub("login-link")
    assert f":{port}/login?code=" in capsys.readouterr().out


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_says_where_it_answers_and_stops_on_a_signal(hub: Hub, tmp_path: Path, number: signal.Signals) -> None:
    hub("init")
    token = (tmp_path / "hub" / "token").read_text().strip()
    context = ssl.create_default_context(cafile=tmp_path / "hub" / "ca.crt")
    with running(tmp_path / "hub") as (process, line):
        url = next(word for word in line.split() if word.startswith("https://"))
        assert token not in line
        assert f"{url}/?token=TOKEN" in line
        assert str(tmp_path / "hub" / "token") in line
        with httpx.Client(base_url=url, verify=context, trust_env=False) as idle:
            assert idle.get("/api/pours").status_code == 401
            begin = time.monotonic()
            os.kill(process.pid, number)
            out, err = process.communicate(timeout=10)
        assert time.monotonic() - begin < 2
        assert (process.returncode, out, err) == (0, "", "")


TELL_OBJECTS = """
import gc
from kegnet_client.host.systemd import Supervisor
Supervisor.ready = lambda _: print(gc.get_freeze_count(), len(gc.get_objects()), flush=True)
"""


@pytest.mark.process
def test_what_a_hub_is_made_of_is_not_looked_through_for_garbage_while_it_answers(hub: Hub, tmp_path: Path) -> None:
    hub("init")
    with running(tmp_path / "hub", before=TELL_OBJECTS) as (process, _):
        assert process.stdout is not None
        made, looked_through = map(int, process.stdout.readline().split())
    assert made > 50_000
    assert looked_through < made / 20


@pytest.mark.process
def test_run_serves_though_it_cannot_say_where(hub: Hub, tmp_path: Path) -> None:
    hub("init")
    context = ssl.create_default_context(cafile=tmp_path / "hub" / "ca.crt")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["hub", "run", "--dir", str(tmp_path / "hub"), "--bind", "127.0.0.1", "--port", str(port)]
    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen([sys.executable, "-m", "kegnet_client.cli", *words], stdout=full)
    until_s = time.monotonic() + WAIT_S
    status = 0
    with httpx.Client(verify=context, trust_env=False) as client:
        while not status and process.poll() is None and time.monotonic() < until_s:
            with suppress(httpx.TransportError):  # it takes connections before it answers
                status = client.get(f"https://localhost:{port}/api/pours").status_code
            time.sleep(0.01)
    process.terminate()
    assert status == 401
    assert process.wait(10) == 0


@pytest.mark.process
def test_run_stops_in_time_while_the_database_is_locked(
    hub: Hub, tmp_path: Path, public_key: str, form: Callable[..., bytes]
) -> None:
    hub("init")
    hub("devices", "add", UUID, public_key)
    context = ssl.create_default_context(cafile=tmp_path / "hub" / "ca.crt")
    body = form("pour", id=UUID, pin=0, pulses=586, et=8123, ts=1386531209417)
    with running(tmp_path / "hub") as (process, line):
        url = next(word for word in line.split() if word.startswith("https://"))
        other = sqlite3.connect(tmp_path / "hub" / "hub.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with httpx.Client(verify=context, trust_env=False, timeout=0.5) as client:
                headers = {"Content-Type": "application/x-www-form-urlencoded"}
                with pytest.raises(httpx.ReadTimeout):
                    client.post(f"{url}/rest/v2/pour", content=body, headers=headers)
            begin = time.monotonic()
            process.terminate()
            process.communicate(timeout=10)
            assert time.monotonic() - begin < 2
        finally:
            other.close()
        assert process.returncode == 0


def test_verify_says_that_all_is_well_and_names_what_is_not(
    hub: Hub, tmp_path: Path, public_key: str, claim: Callable[..., Claim], capsys: pytest.CaptureFixture[str]
) -> None:
    hub("init")
    hub("devices", "add", UUID, public_key)
    capsys.readouterr()
    assert hub("verify") == 0
    assert capsys.readouterr().out == "Every record verifies: no records.\n"
    database = tmp_path / "hub" / "hub.db"
    with closing(Store(database)) as store:
        store.prepare()
        pours = [claim("pour", id=UUID, pin=pin, pulses=586, et=8123, ts=1386531209417) for pin in range(3)]
        store.ingest([*pours, claim("ping", id=UUID, temp=3875, ts=1386531209417)], 1)
    assert hub("verify") == 0
    said = capsys.readouterr()
    assert said.out == "Every record verifies: 3 pours, 1 temperatures.\n"
    assert said.err == ""  # it is no terminal
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE pours SET pulses = 999 WHERE id = 2")
    assert hub("verify") == 65
    first, last = capsys.readouterr().out.splitlines()
    assert first == f"pours 2 of {UUID}, record {pours[1].record_id}: the columns pulses do not hold what was signed"
    assert last.startswith("1 of 4 records do not verify")
    assert hub("verify", "--json") == 65
    told = json.loads(capsys.readouterr().out)
    assert (told["counts"], told["faults"]) == ({"pours": 3, "temperatures": 1}, 1)
    assert told["told"][0]["id"] == 2


def test_verify_shows_on_a_terminal_how_far_it_is(
    hub: Hub,
    tmp_path: Path,
    public_key: str,
    claim: Callable[..., Claim],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub("init")
    hub("devices", "add", UUID, public_key)
    with closing(Store(tmp_path / "hub" / "hub.db")) as store:
        store.prepare()
        store.ingest([claim("pour", id=UUID, pin=0, pulses=586, et=8123, ts=1386531209417)], 1)
    capsys.readouterr()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert hub("verify") == 0
    said = capsys.readouterr()
    assert said.err == "\r1 of 1 records\r\x1b[K"
    assert said.out == "Every record verifies: 1 pours.\n"
