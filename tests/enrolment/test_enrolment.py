"""`kegnet-client enroll`: one line from the hub makes a device, or nothing at all."""

import os
import shlex
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from kegnet_client import cli, config, provisioning
from kegnet_client.core import enrolment as wire
from kegnet_client.core.errors import (
    ConfigError,
    KegnetError,
    ServerRefusalError,
    TransportError,
    UntrustedServerError,
    UsageError,
)
from kegnet_client.core.rest import Version
from kegnet_client.enrolment import TRIES, enroll
from kegnet_client.hub import cli as hub_cli
from kegnet_client.hub import pki
from kegnet_client.identity import load_identity

from .device import Device
from .hub import Hub

ENROL = "POST /enroll"
NO_ANSWERER = "https://localhost:1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every path below ``root`` with its mode and content."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


def refusal(kind: type[KegnetError], root: Path, url: str, code: str) -> str:
    """What ``enroll`` says, having left everything as it was."""
    before = tree(root)
    with pytest.raises(kind) as caught:
        enroll(root, url, code, {}, pause=lambda _: None)
    assert type(caught.value) is kind
    assert tree(root) == before
    return str(caught.value)


@contextmanager
def answering(hub: Hub, ca: bytes, status: int = 500, body: bytes = b"") -> Iterator[tuple[str, list[str]]]:
    """A server with the certificate of ``hub`` that gives out ``ca`` and answers what is posted; what it is asked."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(f"GET {self.path}")
            self.answer(200, ca)

        def do_POST(self) -> None:
            received.append(f"POST {self.path}")
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(status, body)

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # a handshake that the client ended
                super().handle()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(hub.home.server_certificate, hub.home.server_key)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_one_line_makes_a_device_that_the_hub_believes(
    hub: Hub, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enroll(root, hub.url, hub.invite(), {}) == 0
    settings = config.load(root)
    identity = load_identity(settings.uuid, settings.private_key, Version.V2)
    assert settings.base.url == f"{hub.url}/rest/v3"
    assert settings.ca_bundle.read_bytes() == hub.home.ca()
    assert settings.file.with_name("device.pub").read_bytes() == identity.public_pem()
    assert sorted(path.name for path in settings.file.parent.iterdir()) == [
        "ca.crt",
        "client.conf",
        "device.pub",
        "privkey.pem",
    ]
    assert stat.S_IMODE(settings.private_key.stat().st_mode) == 0o600
    assert hub.keys(settings.uuid) == (identity.fingerprint,)
    assert hub.lines() == ["GET /ca.crt", ENROL, "POST /rest/v3/records"]
    said = capsys.readouterr().out
    assert f"front bar is enrolled at {hub.url} as {settings.uuid}" in said
    assert "took a sign of life" in said
    assert said.splitlines()[-1] == f"Next: kegnet-client --root {root} run"


def test_the_private_key_and_the_code_go_nowhere_they_should_not(hub: Hub, root: Path) -> None:
    code = hub.invite()
    enroll(root, hub.url, code, {})
    key = (root / "conf/privkey.pem").read_text().splitlines()
    told = hub.told()
    assert not any(line in told for line in key if "-----" not in line)
    secret = wire.parse_code(code).secret
    assert [one.line for one in hub.requests if secret.encode() in one.body or code.encode() in one.body] == [ENROL]


def test_the_line_that_invite_prints_does_it(
    hub: Hub, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["hub", "invite", "--dir", str(hub.home.directory), "--name", "left tap", "--url", hub.url + "/"]
    assert cli.main(words) == 0
    printed = capsys.readouterr()
    sudo, program, *words = shlex.split(printed.out)
    assert (sudo, program, words[0]) == ("sudo", "kegnet-client", "enroll")
    assert "Within 60 minutes, once" in printed.err
    monkeypatch.setenv("KEGNET_ROOT", str(root))
    assert cli.main(words) == 0
    assert "left tap is enrolled" in capsys.readouterr().out
    assert cli.main(words) == ConfigError.exit_code
    assert "is set already, and stays" in capsys.readouterr().err


def test_a_device_that_is_one_already_tells_the_hub_nothing(hub: Hub, device: Device) -> None:
    told = refusal(ConfigError, device.root, hub.url, hub.invite())
    assert "uuid: is set already, and stays" in told
    assert "then run enroll again" in told
    assert hub.requests == []


@pytest.mark.parametrize("name", ["privkey.pem", "device.pub"])
def test_what_is_there_is_not_overwritten(hub: Hub, root: Path, name: str) -> None:
    (root / "conf").mkdir()
    (root / "conf" / name).write_text("mine")
    assert f"conf/{name}: exists already" in refusal(ConfigError, root, hub.url, hub.invite())
    assert hub.requests == []


@pytest.mark.parametrize("setting", ["", "caBundle = system\n", "caBundle = own.pem\n"])
def test_another_ca_that_is_trusted_already_is_not_given_up(
    hub: Hub, start_hub: Callable[[str], Hub], root: Path, setting: str
) -> None:
    (root / "conf").mkdir()
    (root / "conf/client.conf").write_text(f"[KegNet]\n{setting}")
    other = start_hub("other").home.ca()
    for file in (root / "conf/ca.crt", root / "own.pem"):
        file.write_bytes(other)
    assert "differs from the CA of" in refusal(ConfigError, root, hub.url, hub.invite())
    assert hub.lines() == ["GET /ca.crt"]


def test_the_systems_store_is_not_made_where_it_is_missing(
    hub: Hub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = root / "certificates.crt"
    for module in (config, provisioning):
        monkeypatch.setattr(module, "SYSTEM_CA_BUNDLE", system)
    (root / "conf").mkdir()
    (root / "conf/client.conf").write_text("[KegNet]\ncaBundle = system\n")
    assert "put a # before caBundle" in refusal(ConfigError, root, hub.url, hub.invite())


def test_the_same_ca_may_be_there(hub: Hub, root: Path) -> None:
    (root / "conf").mkdir()
    (root / "conf/ca.crt").write_bytes(hub.home.ca())
    assert enroll(root, hub.url, hub.invite(), {}) == 0


@pytest.mark.parametrize("code", ["", "kegnet_", "kegnet_" + "A" * 63, "--help", "kegnet_" + "A" * 63 + "\n"])
def test_what_is_no_code_is_told_before_anything_is_asked(hub: Hub, root: Path, code: str) -> None:
    assert "paste it whole" in refusal(UsageError, root, hub.url, code)
    assert hub.requests == []


@pytest.mark.parametrize(
    "url",
    ["", "hub", "http://hub:8443", "http://localhost:8443", "https://hub/rest/v2", "https://u@hub", "https://h:x"],
)
def test_what_is_no_address_of_a_hub_is_told_before_anything_is_asked(hub: Hub, root: Path, url: str) -> None:
    assert "https://HOST:8443" in refusal(UsageError, root, url, hub.invite())


def test_a_hub_with_another_ca_is_told_nothing(hub: Hub, start_hub: Callable[[str], Hub], root: Path) -> None:
    code = hub.invite()
    other = start_hub("other")
    told = refusal(UntrustedServerError, root, other.url, code)
    assert f"whoever answered at {other.url} is not the hub that made this code" in told
    assert UntrustedServerError.exit_code == 77
    assert other.lines() == ["GET /ca.crt"]
    assert other.requests[0].body == b""
    secret = wire.parse_code(code).secret
    assert secret not in other.told()
    assert code not in other.told()
    assert {name for name, _ in other.requests[0].headers} == {b"host", b"user-agent", b"accept-encoding"}


@pytest.mark.parametrize("served", ["two certificates", "none", "the right one, from an impostor"])
def test_who_shows_the_right_certificate_without_its_key_is_told_nothing(
    hub: Hub, start_hub: Callable[[str], Hub], root: Path, served: str
) -> None:
    """The CA certificate is public: an impostor may serve it, alone or with its own behind it."""
    impostor = start_hub("impostor")
    own, right = impostor.home.ca(), hub.home.ca()
    body = {"two certificates": right + own, "none": b"<html>", "the right one, from an impostor": right}[served]
    with answering(impostor, body) as (url, received):
        told = refusal(UntrustedServerError, root, url, hub.invite())
    assert received == ["GET /ca.crt"]
    assert ("is not the hub that made this code" in told) == (served == "none")
    if served != "none":
        assert "CA that is not in caBundle" in told


def test_a_hub_that_is_away_leaves_nothing(hub: Hub, root: Path) -> None:
    hub.stop()
    assert "no connection" in refusal(TransportError, root, hub.url, hub.invite())


def test_a_wrong_an_expired_and_a_used_code_are_told_apart(hub: Hub, root: Path, tmp_path: Path) -> None:
    used = hub.invite()
    enroll(tmp_path / "first", hub.url, used, {})
    wrong = wire.format_code(pki.ca_der(hub.home.ca()), bytes(16))
    assert "401: no such code" in refusal(ServerRefusalError, root, hub.url, wrong)
    assert "401: the code has expired" in refusal(ServerRefusalError, root, hub.url, hub.invite(valid_ms=0))
    assert "401: the code was used already" in refusal(ServerRefusalError, root, hub.url, used)
    assert len(hub.store.devices()) == 1
    assert ServerRefusalError.exit_code == 77


@pytest.mark.parametrize("times", [1, TRIES - 1])
def test_an_answer_that_is_lost_is_asked_for_again_with_the_same_key(hub: Hub, root: Path, times: int) -> None:
    hub.lose += ["/enroll"] * times
    pauses: list[float] = []
    assert enroll(root, hub.url, hub.invite(), {}, pause=pauses.append) == 0
    assert len(pauses) == times
    bodies = [request.body for request in hub.requests if request.line == ENROL]
    assert len(bodies) == times + 1
    assert len(set(bodies)) == 1
    assert len(hub.store.devices()) == 1


def test_an_answer_that_is_lost_again_and_again_leaves_nothing_here(hub: Hub, root: Path) -> None:
    hub.lose += ["/enroll"] * TRIES
    told = refusal(TransportError, root, hub.url, hub.invite())
    assert "run the same again, and if the code was used by then, ask for another" in told
    assert hub.lines().count(ENROL) == TRIES


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"later", TransportError),
        (409, b"known", ServerRefusalError),
        (400, b"what?", ConfigError),
        (404, b"", ConfigError),
        (302, b"", ConfigError),
        (200, b"<html>", ConfigError),
        (200, b"[]", ConfigError),
        (200, b'{"name": 1}', ConfigError),
    ],
)
def test_any_other_answer_leaves_nothing(
    hub: Hub, root: Path, status: int, body: bytes, kind: type[KegnetError]
) -> None:
    with answering(hub, hub.home.ca(), status, body) as (url, _):
        told = refusal(kind, root, url, hub.invite())
    assert f"it answered {status}" in told


@pytest.mark.parametrize("limit", [100, 1000, 2500])
def test_a_disk_without_room_leaves_nothing_and_keeps_the_code_good(hub: Hub, root: Path, limit: int) -> None:
    """No file may grow beyond ``limit`` bytes: the key fails to be written, or the configuration."""
    code = hub.invite()
    (root / "conf").mkdir()
    (root / "conf/client.conf").write_text(config.render() + "# mine\n" * 1000)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), "--root", str(root), "enroll", hub.url, code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "cannot be written (File too large)" in done.stderr) == (78, True), done.stderr
    assert list(tree(root)) == ["conf", "conf/client.conf"]
    assert hub.lines() == ["GET /ca.crt"]
    assert enroll(root, hub.url, code, {}) == 0


LIMITED = """
import resource, signal, sys
from kegnet_client import cli
limit = int(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(cli.main(sys.argv[2:]))
"""


def test_an_interrupt_while_the_hub_is_asked_leaves_nothing(hub: Hub, root: Path) -> None:
    hub.lose.append("/enroll")

    def interrupt(_seconds: float) -> None:
        assert (root / "conf/privkey.pem").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enroll(root, hub.url, hub.invite(), {}, pause=interrupt)
    assert tree(root) == {}


def test_nothing_in_the_environment_changes_the_way(
    hub: Hub, root: Path, monkeypatch: pytest.MonkeyPatch, start_hub: Callable[[str], Hub]
) -> None:
    other = start_hub("other")
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NO_ANSWERER)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(other.home.ca_certificate))
    assert enroll(root, hub.url, hub.invite(), dict(os.environ)) == 0


def test_a_device_whose_first_exchange_fails_is_enrolled_and_says_so(
    hub: Hub, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.lose.append("/rest/v3/records")
    with pytest.raises(TransportError):
        enroll(root, hub.url, hub.invite(), {})
    assert "front bar is enrolled" in capsys.readouterr().out
    assert config.load(root)


def invite(hub: Hub, *words: str) -> int:
    return cli.main(["hub", "invite", "--dir", str(hub.home.directory), *words])


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        (["localhost", "keg.local"], "https://keg.local:8443"),
        (["localhost", "127.0.0.1", "192.168.1.5"], "https://192.168.1.5:8443"),
        (["::1", "fe80::5"], "https://[fe80::5]:8443"),
        (["localhost", "127.0.0.1"], "https://localhost:8443"),
    ],
)
def test_the_printed_address_is_one_that_others_can_reach_if_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hosts: list[str], url: str
) -> None:
    directory = ["--dir", str(tmp_path / "h")]
    cli.main(["hub", "init", *directory, *(word for host in hosts for word in ("--host", host))])
    capsys.readouterr()
    assert cli.main(["hub", "invite", *directory, "--valid-minutes", "5"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"sudo kegnet-client enroll {url} kegnet_")
    assert "Within 5 minutes" in printed.err
    assert ("works on this machine alone" in printed.err) == ("localhost" in url)


@pytest.mark.parametrize(
    "words",
    [
        ["--valid-minutes", "0"],
        ["--valid-minutes", str(hub_cli.MAX_VALID_MINUTES + 1)],
        ["--name", ""],
        ["--name", "a\nb"],
        ["--url", "http://localhost:8443"],
        ["--url", "https://localhost:8443/rest/v2"],
        ["--url", "https://localhost:x"],
        ["--url", "https://u@localhost"],
        ["--url", "https://keg.example:8443"],
    ],
)
def test_an_invitation_that_could_not_work_is_not_made(
    hub: Hub, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invite(hub, *words) == UsageError.exit_code
    assert words[0] in capsys.readouterr().err


def test_a_list_of_devices_shows_who_changes_a_key(
    hub: Hub, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    from kegnet_client.rotation import UnfinishedError, rotate_key

    hub.lose.append("/rotate")
    with pytest.raises(UnfinishedError):
        rotate_key(device.root, None)
    assert cli.main(["hub", "devices", "list", "--dir", str(hub.home.directory)]) == 0
    assert "changes its key" in capsys.readouterr().out


def test_a_silent_server_is_given_up_within_the_deadline(hub: Hub, root: Path) -> None:
    (root / "conf").mkdir()
    (root / "conf/client.conf").write_text("[KegNet]\ndeadline = 1\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        assert "1 s" in refusal(TransportError, root, url, hub.invite())
