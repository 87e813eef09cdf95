"""An enrolment that cannot be: the hub is another or away, the answer is lost, the disk is full; nothing is left."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.edit import render
from kegnet_client.core.errors import (
    ConfigError,
    KegnetError,
    ServerRefusalError,
    TransportError,
    UntrustedServerError,
    UsageError,
)
from kegnet_client.core.wire import enrolment as wire
from kegnet_client.enrolment.enroll import TRIES, enroll
from kegnet_client.hub import pki

from .attempts import ENROL, answering, refusal, tree
from .hub import Hub


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
    enroll(tmp_path / "first", SECTIONS, hub.url, used, {})
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
    assert enroll(root, SECTIONS, hub.url, hub.invite(), {}, pause=pauses.append) == 0
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
    (root / "conf/client.conf").write_text(render(SECTIONS) + "# mine\n" * 1000)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), "--root", str(root), "enroll", hub.url, code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "cannot be written (File too large)" in done.stderr) == (78, True), done.stderr
    assert list(tree(root)) == ["conf", "conf/client.conf"]
    assert hub.lines() == ["GET /ca.crt"]
    assert enroll(root, SECTIONS, hub.url, code, {}) == 0


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
        enroll(root, SECTIONS, hub.url, hub.invite(), {}, pause=interrupt)
    assert tree(root) == {}


def test_a_silent_server_is_given_up_within_the_deadline(hub: Hub, root: Path) -> None:
    (root / "conf").mkdir()
    (root / "conf/client.conf").write_text("[KegNet]\ndeadline = 1\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        assert "1 s" in refusal(TransportError, root, url, hub.invite())
