"""A Kegbot server as it was published: kegbot 1.2.3 from PyPI, for Python 2.7."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from kegnet_client.core.errors import TransportError
from kegnet_client.core.records import Pour, Reading
from kegnet_client.core.verdict import Disposition
from kegnet_client.core.wire import kegbot_api as api
from kegnet_client.core.wire.answer import Answer
from kegnet_client.net.client import Transport
from kegnet_client.net.connection import MAX_ANSWER_BYTES
from kegnet_client.sinks.kegbot import DOUBT_S, SWEEP_S, Kegbot
from kegnet_client.sinks.kegbot_journal import Journal
from kegnet_client.sinks.kegbot_server import KegbotServer

from ..support.clock import FakeClock
from ..support.kegbot_site import KegbotSite

DEVICE = "0a1b2c3d-0000-4000-8000-000000000001"
DAY_MS = 86_400_000
ANSWERS_WITHIN_S = 60.0


class Lossy(Transport):
    """Loses the answer to the next post, once that is asked of it."""

    loses = False

    def post(
        self,
        url: str,
        content_type: str,
        body: bytes,
        more_headers: Mapping[str, str] | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Answer:
        answer = super().post(url, content_type, body, more_headers, meanwhile)
        if self.loses:
            self.loses = False
            raise TransportError("no answer")
        return answer


@dataclass(frozen=True, slots=True)
class Rig:
    """A sink, and the same server as it is asked past it."""

    sink: Kegbot
    server: KegbotServer
    wire: Lossy
    clock: FakeClock

    def send(self, record: Pour | Reading) -> Disposition:
        (verdict,) = self.sink.send([record])
        return verdict.disposition

    def drinks_of(self, pour: Pour) -> list[int]:
        nonce = api.nonce_of(pour, DEVICE)
        return [one.id for one in self.server.ask_drinks() if one.nonces is not None and nonce in one.nonces]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KegbotSite]:
    """One for all tests here: it takes its time to start."""
    site = KegbotSite(tmp_path_factory.mktemp("kegbot"))
    yield site
    site.stop()


@pytest.fixture
def rig(site: KegbotSite, tmp_path: Path) -> Iterator[Rig]:
    """A sink of a process that just began."""
    rig = open_rig(site.url, site.key, tmp_path)
    with closing(rig.sink):
        yield rig


def open_rig(url: str, key: str, directory: Path) -> Rig:
    clock = FakeClock()
    wire = Lossy(None, ANSWERS_WITHIN_S, clock.wall_ms, "apiUrl", resets=True, max_body_bytes=MAX_ANSWER_BYTES)
    server = KegbotServer(api.parse_api_url(url), key, wire, clock)
    return Rig(Kegbot(DEVICE, server, {}, lambda: Journal(directory / "journal", clock), clock), server, wire, clock)


@pytest.mark.slow
def test_a_pour_is_a_drink_there_with_its_ticks_and_its_time(rig: Rig) -> None:
    pour = Pour(0, 586, 8123, rig.clock.now_ms - DAY_MS)

    assert rig.send(pour) is Disposition.ACCEPTED
    (drink,) = rig.drinks_of(pour)
    answer = rig.server.ask(f"drinks/{drink}").body.decode()
    assert '"ticks": 586' in answer
    assert '"duration": 8' in answer
    # The server knows no clock but its own, and is told how long ago it was.
    assert rig.send(pour) is Disposition.ACCEPTED
    assert rig.drinks_of(pour) == [drink]


@pytest.mark.slow
def test_a_pour_whose_answer_was_lost_is_found_there_and_not_posted_twice(rig: Rig) -> None:
    pour = Pour(1, 1000, 4000, rig.clock.now_ms - 7_200_000)
    rig.wire.loses = True

    assert [rig.send(pour), rig.send(pour)] == [Disposition.DEFERRED] * 2
    rig.clock.now_s += DOUBT_S + 1
    assert rig.send(pour) is Disposition.ACCEPTED
    assert len(rig.drinks_of(pour)) == 1


@pytest.mark.slow
@pytest.mark.case(134)
def test_a_second_drink_that_this_version_does_not_cancel_is_said_and_holds_up_nothing(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Its cancel-drink answers 500, and nothing is cancelled."""
    pour = Pour(0, 77, 4000, rig.clock.now_ms - 60_000)
    rig.wire.loses = True
    assert rig.send(pour) is Disposition.DEFERRED
    rig.clock.now_s += DOUBT_S + 1
    (first,) = rig.drinks_of(pour)
    # As if a worker had not stored it yet when it was looked for, and the pour was posted again.
    nonce = api.nonce_of(pour, DEVICE)
    body = api.format_pour(pour, "kegboard.flow0", nonce, rig.clock.now_ms)
    rig.server.post(api.tap_path("kegboard.flow0"), body)
    rig.sink._journal_here().begin(nonce, 0, pour.pin)
    assert rig.send(pour) is Disposition.DEFERRED
    rig.clock.now_s += DOUBT_S + 1
    assert rig.send(pour) is Disposition.ACCEPTED
    rig.clock.now_s += SWEEP_S + 1
    with caplog.at_level(logging.WARNING):
        assert rig.send(Pour(1, 78, 4000, rig.clock.now_ms)) is Disposition.ACCEPTED
    _, second = sorted(rig.drinks_of(pour))
    assert f"a pour is drink {second} too, which the server does not cancel; cancel it there" in caplog.text
    assert first < second


@pytest.mark.slow
def test_a_temperature_is_told_and_one_that_it_does_not_believe_is_rejected(rig: Rig) -> None:
    assert rig.send(Reading("28-0316a2795c5b", 3875, rig.clock.now_ms)) is Disposition.ACCEPTED
    assert '"temperature_c": 3.875' in rig.server.ask("thermo-sensors/28-0316a2795c5b/logs").body.decode()
    assert rig.send(Reading("28-0316a2795c5c", 85_000, rig.clock.now_ms)) is Disposition.REJECTED


@pytest.mark.slow
def test_a_tap_whose_keg_ended_holds_its_pours_and_a_key_that_is_none_keeps_them(
    rig: Rig, site: KegbotSite, tmp_path: Path
) -> None:
    pour = Pour(0, 99, 4000, rig.clock.now_ms)
    stranger = open_rig(site.url, "0123456789abcdef0123456789abcdef", tmp_path / "stranger")
    with closing(stranger.sink):
        assert stranger.send(pour) is Disposition.MISCONFIGURED
    assert rig.server.post("kegs/1/end", b"").status == 200

    assert rig.send(pour) is Disposition.DEFERRED
    assert rig.drinks_of(pour) == []
