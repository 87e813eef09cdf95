"""Faults that pass: how long it waits for a server that can take nothing now, or for one record that it never takes."""

import random
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from kegnet_client.core.retry_policy import RetryPolicy
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.answer import MAX_RETRY_AFTER_S, parse_retry_after

from ..support.device import Device
from ..support.waits import wait_until
from .known import BACK, KEPT
from .misbehaving_server import Server, first
from .versions import BOTH, V2_LATER, slowly

# 27, 28


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.case(27)
@V2_LATER
@pytest.mark.parametrize(
    ("status", "form"),
    [
        (429, "seconds"),
        (503, "date of a server whose clock is wrong"),
        pytest.param(503, "seconds", marks=pytest.mark.slow),
        pytest.param(503, "date", marks=pytest.mark.slow),
        pytest.param(429, "date", marks=pytest.mark.slow),
    ],
)
def test_retry_after_is_honoured(device: Device, server: Server, status: int, form: str) -> None:
    day_s = 86400.0 if form.endswith("wrong") else 0.0
    headers = [f"Date: {http_date(day_s)}", f"Retry-After: {2 if form == 'seconds' else http_date(day_s + 2)}"]
    server.answer = first((status, headers, b""))
    device.drop(1)
    program = device.run()
    program.log.wait_for(f"the server answered {status}. Records stay in the spool")
    server.wait_for_rows([1])
    one, other = server.asked(1)
    assert other.at_s - one.at_s >= (2 if form == "seconds" else 1)  # a date may be cut to its second


@pytest.mark.case(27)
@V2_LATER
@pytest.mark.parametrize(
    "value",
    ["-5", "soon", *slowly("", "1.5", "٣", "Thu, 99 Foo 2026 00:00:00 GMT", "Thu, 01 Jan 2015 00:00:00 GMT", "0")],
)
def test_a_retry_after_that_makes_no_sense_or_is_over_is_no_wait_of_its_own(
    device: Device, server: Server, value: str
) -> None:
    def answer(stream: socket.socket) -> None:
        head = f"HTTP/1.1 503 Later\r\nDate: {http_date(0)}\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
        stream.sendall(head.encode())

    server.answer = first(answer)
    device.drop(1)
    device.run()
    server.wait_for_rows([1])
    assert server.rows() == {1: 1}


@pytest.mark.case(27, 30)
@V2_LATER
@pytest.mark.parametrize(
    "value",
    ["9" * 400, "Sat, 01 Jan 2050 00:00:00 GMT", *slowly("99999999", "Fri, 31 Dec 9999 23:59:59 GMT")],
    ids=["digits", "2050", "seconds", "9999"],
)
def test_an_absurd_retry_after_is_clamped_and_a_restart_tries_at_once(
    device: Device, server: Server, value: str
) -> None:
    server.answer = first((503, [f"Date: {http_date(0)}", f"Retry-After: {value}"], b""))
    device.drop(1)
    program = device.run()
    wait_until(lambda: device.status()["counters"]["deferred"] == 1, "not counted")
    assert device.status()["link"] == "waiting"
    assert parse_retry_after(value, http_date(0), 0) == MAX_RETRY_AFTER_S == 3600
    assert program.stop()[0] == 0
    device.run()
    server.wait_for_rows([1])
    assert server.rows() == {1: 1}


@pytest.mark.case(28)
@V2_LATER
@pytest.mark.parametrize("status", [500, *slowly(503)])
def test_a_5xx_without_end_costs_a_log_line_a_change_and_no_record(device: Device, server: Server, status: int) -> None:
    left = [status] * 4
    server.answer = lambda _: left.pop() if left else 200
    for pulses in (1, 2):
        device.drop(pulses)
    program = device.run()
    server.wait_for_rows([1, 2])
    wait_until(lambda: not device.waiting(), "files stay")
    program.log.wait_for(BACK)
    assert len(program.log.lines(KEPT)) == 1
    assert len(program.log.lines(BACK)) == 1
    assert len(program.log.lines(f"answered {status}")) <= 3, "a line a try"
    assert not device.rejected.exists()


def waits_s(link: RetryPolicy, verdict: Verdict, tries: int) -> list[float]:
    """How long ``link`` waits after each of so many failures."""
    now_s, waits = 0.0, []
    for _ in range(tries):
        link.settle("a.pour", verdict, now_s)
        waits.append(max(0.0, link.retry_at_s - now_s))
        now_s = max(now_s, link.retry_at_s)
    return waits


@pytest.mark.case(28, 17)
def test_the_wait_after_failures_without_end_is_capped_and_never_the_same() -> None:
    verdict = Verdict(Disposition.DEFERRED, "no connection")
    waits = waits_s(RetryPolicy(random.Random(1).random, "check the address"), verdict, 200)  # noqa: S311 (no secret)
    assert max(waits) <= 300
    assert max(waits) > 250
    assert len(set(waits)) > 190


# 29


@pytest.mark.case(29)
@BOTH
@pytest.mark.parametrize("status", [500, *slowly(502)])
def test_a_record_that_always_earns_a_5xx_holds_up_nobody(device: Device, server: Server, status: int) -> None:
    server.answer = lambda asked: status if 666 in asked.pulses else 200
    device.drop(666, age_s=100)
    for pulses in range(1, 41):
        device.drop(pulses)
    program = device.run()
    server.wait_for_rows(range(1, 41))
    server.wait_for(666, count=3)
    tries = len(server.asked(666))
    for pulses in range(41, 61):
        device.drop(pulses)
        server.wait_for_rows([pulses])
    # In a batch it may be met once with each new one, until it has had a try of its own.
    assert len(server.asked(666)) - tries < (10 if server.asked()[0].path.endswith("/pour") else 30)
    server.wait_until(lambda asked: asked.pulses == [666])
    program.log.wait_for("000666.pour is tried again later, other records go on")
    wait_until(lambda: device.waiting() == ["000666.pour"], "files stay")
    assert not device.rejected.exists()
    assert set(server.rows().values()) == {1}
    assert len(program.log.lines("000666.pour")) <= 2
    server.answer = lambda _: 200
    device.reload(program)
    server.wait_for_rows([666])


# 30


@pytest.mark.case(30)
@pytest.mark.parametrize("retry_after_s", [None, 60.0])
def test_a_fleet_that_lost_its_server_at_once_comes_back_spread_out(retry_after_s: float | None) -> None:
    verdict = Verdict(Disposition.DEFERRED, "no connection", retry_after_s=retry_after_s)
    fleet = [RetryPolicy(random.Random(seed).random, "check the address") for seed in range(1000)]  # noqa: S311 (no secret)
    assert all(link.ready(0.0) for link in fleet), "the first try is at once"
    asked_s = retry_after_s or 0.0
    for tries in range(1, 11):
        waits = [waits_s(link, verdict, 1)[0] - asked_s for link in fleet]
        ceiling_s = min(300, 2.0 ** (tries - 1))
        assert min(waits) >= 0
        assert max(waits) <= ceiling_s
        for part in range(10):  # full jitter: each tenth of the time has about a tenth of the fleet
            share = sum(part <= wait / ceiling_s * 10 < part + 1 for wait in waits)
            assert 50 < share < 160, (tries, part)
        for link in fleet:
            link.retry_at_s = 0.0
