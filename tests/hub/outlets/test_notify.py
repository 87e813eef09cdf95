"""A real mail server and a real webhook get one message when an alarm is raised, and one when it is over."""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email import message_from_bytes, policy
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from kegnet_client.core.errors import ConfigError
from kegnet_client.hub.domain import alarms as lives
from kegnet_client.hub.domain.alarms import PUBLISHED, Moment, What
from kegnet_client.hub.home import Home
from kegnet_client.hub.outlets.notify import CHANNEL, HOUR_MS, Message, Notify, Told, decide
from kegnet_client.hub.outlets.notify_section import NOTIFY, NotifySettings
from kegnet_client.hub.outlets.open import open_outlets
from kegnet_client.hub.store import alarms, events
from kegnet_client.hub.store.records import Store

from ...support.waits import wait_until
from ..conftest import Serve, serving

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # one of Apprise's services imports it
SECRET = "tell-nobody"


class Webhook:
    """A server that takes messages as JSON; it refuses the next ``refuses`` of them."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.refuses = 0
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked += 1
                is_taken = outer.asked > outer.refuses
                if is_taken:
                    outer.bodies.append(json.loads(body))
                self.send_response(200 if is_taken else 500)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://hub:{SECRET}@127.0.0.1:{self.server.server_address[1]}/{SECRET}"

    @property
    def texts(self) -> list[str]:
        """The messages."""
        return [one["message"] for one in self.bodies]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """One that runs until the test ends."""
    webhook = Webhook()
    thread = threading.Thread(target=webhook.server.serve_forever)
    thread.start()
    try:
        yield webhook
    finally:
        webhook.server.shutdown()
        webhook.server.server_close()
        thread.join()


@contextmanager
def mail_server() -> Iterator[tuple[str, list[bytes]]]:
    """A mail server, as Apprise's URL, and the mails that it took."""
    mails: list[bytes] = []

    class Handler:
        async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's
            mails.append(envelope.content)
            return "250 OK"

    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"mailto://127.0.0.1:{port}?from=hub@bar.example&to=me@bar.example&mode=insecure", mails
    finally:
        controller.stop()


def publish(store: Store, text: str) -> None:
    """Raise an alarm of its own, which nobody judges."""
    now_ms = time.time_ns() // 1_000_000
    moment = Moment((PUBLISHED, text), What.RAISED, now_ms, text)
    store.write(lambda connection: alarms.happen(connection, now_ms, lambda _: [moment]))


def outlet(*urls: str, per_hour: int = 20) -> Notify:
    return Notify(NotifySettings(urls, per_hour), pauses_s=(0.1, 0.1))


def count_marks(store: Store) -> int:
    return len(store.read(lambda connection: events.read_last(connection, CHANNEL, 1000)))


def test_mail_and_webhook_get_one_message_for_a_raise_and_one_for_its_end(
    make_home: Callable[[], Home], store: Store, start: Serve, webhook: Webhook
) -> None:
    with mail_server() as (url, mails):
        start(make_home(), store, outlets=[outlet(url, webhook.url)])
        low, now_ms, text = ("keg-low", "keg 7"), time.time_ns() // 1_000_000, "Märzen: 1.2 l left, 6 %"
        life = [
            Moment(low, What.RAISED, now_ms, text),
            Moment(low, What.ACKNOWLEDGED, now_ms, text, by="Ann"),
            Moment(low, What.CLEARED, now_ms, text),
        ]
        store.write(lambda connection: alarms.happen(connection, now_ms, lambda _: life))
        wait_until(lambda: len(mails) == len(webhook.bodies) == 2, "it is not told")
    mail = message_from_bytes(mails[0], policy=policy.default)
    assert mail["Subject"] == "KegNet alarm"
    body = mail.get_body(("plain", "html"))
    assert body is not None
    assert "Märzen: 1.2 l left, 6 %" in body.get_content()
    assert webhook.texts == ["Märzen: 1.2 l left, 6 %", "It is over: Märzen: 1.2 l left, 6 %"]


def test_what_others_publish_is_told_once(
    make_home: Callable[[], Home], store: Store, start: Serve, webhook: Webhook
) -> None:
    start(make_home(), store, outlets=[outlet(webhook.url)])
    for number in range(2):
        now_ms = time.time_ns() // 1_000_000

        def say(standing: Any, at_ms: int = now_ms) -> list[Moment]:
            return lives.publish(standing, "cooler", "on fire", "the cooler is on fire", at_ms)

        store.write(partial(alarms.happen, now_ms=now_ms, decide=say))
        publish(store, f"keg {number}")
    wait_until(lambda: len(webhook.bodies) == 3, "less was told")
    assert webhook.texts == ["the cooler is on fire", "keg 0", "keg 1"]


def test_so_many_an_hour_and_then_how_many_were_left_out() -> None:
    told, sent = Told(0), []
    for number in range(1, 6):
        told, message = decide(told, number, Message(f"alarm {number}"), number, 3)
        sent.append(message)
    assert sent == [Message("alarm 1"), Message("alarm 2"), Message("alarm 3"), None, None]
    assert (told.event, told.left_out) == (5, 2)
    assert decide(told, 5, None, HOUR_MS, 3) == (told, None)
    later, message = decide(told, 5, None, HOUR_MS + 1, 3)
    assert message == Message("2 more were left out, to send no more than 3 an hour")
    assert later == Told(5, (2, 3, HOUR_MS + 1))
    _, message = decide(told, 6, Message("alarm 6"), HOUR_MS + 2, 3)
    assert message == Message("alarm 6\n2 more were left out, to send no more than 3 an hour")
    assert decide(later, 5, None, HOUR_MS + 3, 3) == (later, None)


def test_the_limit_holds_for_a_hub_that_is_started_again(
    make_home: Callable[[], Home], store: Store, webhook: Webhook
) -> None:
    home = make_home()
    for run in range(2):
        with serving(home, store, outlets=[outlet(webhook.url, per_hour=2)]):
            for number in range(2):
                before = count_marks(store)
                publish(store, f"keg {run}{number}")
                wait_until(lambda least=before: count_marks(store) > least, "it is not marked")  # type: ignore[misc]  # mypy takes no default of a lambda
            wait_until(lambda: len(webhook.bodies) == 2, "less was told")
    assert webhook.texts == ["keg 00", "keg 01"]


def test_what_happened_between_two_runs_is_told_once(
    make_home: Callable[[], Home], store: Store, webhook: Webhook
) -> None:
    home = make_home()
    with serving(home, store, outlets=[outlet(webhook.url)]):
        publish(store, "first")
        wait_until(lambda: len(webhook.bodies) == 1, "it is not told")
    publish(store, "between")
    with serving(home, store, outlets=[outlet(webhook.url)]):
        wait_until(lambda: len(webhook.bodies) == 2, "it is not told")
    assert webhook.texts == ["first", "between"]


def test_several_processes_send_once(postgresql_store: Store, make_home: Callable[[], Home], webhook: Webhook) -> None:
    home = make_home()
    with closing(Store(postgresql_store.url.render_as_string(hide_password=False))) as other:
        one, two = outlet(webhook.url), outlet(webhook.url)
        with serving(home, postgresql_store, outlets=[one]), serving(home, other, outlets=[two]):
            for number in range(5):
                publish(other, f"keg {number}")
            wait_until(lambda: len(webhook.bodies) >= 5, "less was told")
            publish(other, "last")
            wait_until(lambda: "last" in webhook.texts, "less was told")
    assert webhook.texts == [*(f"keg {number}" for number in range(5)), "last"]


@pytest.mark.case(82)
def test_a_service_that_refuses_is_tried_again_and_keeps_nobody_else_waiting(
    make_home: Callable[[], Home], store: Store, start: Serve, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.refuses = 2
    with mail_server() as (url, mails):
        away = f"json://hub:{SECRET}@127.0.0.1:9/{SECRET}"
        start(make_home(), store, outlets=[outlet(away, webhook.url, url)])
        publish(store, "the cooler is on fire")
        wait_until(lambda: mails and webhook.bodies, "it is not told")
        wait_until(lambda: "address 2 of [notify] (json) gets messages again" in caplog.text, "it is not told")
    assert (webhook.asked, len(mails)) == (3, 1)
    assert len(re.findall(r"address 1 of \[notify\] \(json\) does not take a message", caplog.text)) == 1
    assert SECRET not in caplog.text


@pytest.mark.parametrize("url", [f"nobody://{SECRET}", f"tgram://{SECRET}", f"{SECRET}", f"json://a/ {SECRET}"])
def test_an_address_that_is_none_is_named_by_its_number_alone(
    make_home: Callable[[], Home], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    home = make_home()
    home.settings.write_text(f"[notify]\nurls = {url}")
    with pytest.raises(ConfigError, match=r"address 1 of \[notify\]|number [12] is no URL") as told:
        open_outlets(home.config(), home.ca())
    assert SECRET not in str(told.value)
    assert SECRET not in caplog.text


def test_a_password_in_a_database_url_that_is_none_is_not_told(make_home: Callable[[], Home]) -> None:
    home = make_home()
    home.settings.write_text(f"[hub]\ndatabase = mysql://hub:{SECRET}@db/x")
    with pytest.raises(ConfigError) as told:
        home.config()
    assert SECRET not in str(told.value)


def test_addresses_are_not_shown_by_accident(make_home: Callable[[], Home]) -> None:
    home = make_home()
    home.settings.write_text(f"[notify]\nurls = ntfy://{SECRET}\nperHour = 3")
    settings = home.config().section(NOTIFY)
    assert settings == NotifySettings((f"ntfy://{SECRET}",), 3)
    assert SECRET not in repr(settings)
