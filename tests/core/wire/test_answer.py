"""What each answer means, and how long the waits are."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client.core.errors import ConfigError, KegnetError, TransportError, UntrustedServerError
from kegnet_client.core.retry_policy import FIRST_CEILING_S, MAX_CEILING_S, Backoff
from kegnet_client.core.verdict import Disposition, Verdict
from kegnet_client.core.wire.answer import MAX_RETRY_AFTER_S, Answer, judge, judge_silence, parse_retry_after

URL = "https://hub.example/rest/v2/pour"
NOW_MS = 1_795_219_200_000


def http_date(unix_ms: int) -> str:
    return format_datetime(datetime.fromtimestamp(unix_ms / 1000, UTC), usegmt=True)


def meaning(status: int, **headers: str) -> Verdict:
    return judge(Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}), URL, NOW_MS)


# --- dispositions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", range(200, 300))
def test_any_2xx_is_an_acknowledgement(status: int) -> None:
    assert meaning(status).disposition is Disposition.ACCEPTED


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_record_that_the_server_will_never_take_is_rejected(status: int) -> None:
    assert meaning(status) == Verdict(Disposition.REJECTED, f"the server answered {status}", status)


@pytest.mark.parametrize(
    ("error", "disposition", "refused"),
    [
        (TransportError("no route"), Disposition.DEFERRED, False),
        (UntrustedServerError("its certificate has expired"), Disposition.MISCONFIGURED, True),
    ],
)
def test_no_answer_is_waited_out_and_a_server_that_proves_nothing_is_mended(
    error: TransportError, disposition: Disposition, refused: bool
) -> None:
    assert judge_silence(error, "hub:8443") == Verdict(disposition, f"hub:8443: {error}", refused=refused)


@pytest.mark.parametrize("status", [408, 425, 429, *range(500, 600)])
def test_a_server_that_cannot_now_is_asked_later(status: int) -> None:
    verdict = meaning(status)

    assert verdict.disposition is Disposition.DEFERRED
    assert verdict.record_may_be_the_cause is (status >= 500)


@pytest.mark.parametrize(
    "status", sorted(({*range(100, 200), *range(300, 500), 600, 999}) - {400, 408, 409, 413, 422, 425, 429})
)
def test_every_other_answer_keeps_the_record_and_says_what_to_mend(status: int) -> None:
    verdict = meaning(status)

    assert verdict.disposition is Disposition.MISCONFIGURED
    assert verdict.reason.startswith(f"the server answered {status}: ")


@given(
    st.integers(0, 999), st.binary(max_size=50), st.dictionaries(st.sampled_from(["date", "retry-after"]), st.text())
)
def test_only_a_2xx_takes_a_record_out_and_only_four_statuses_put_one_aside(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    verdict = judge(Answer(status, headers, body), URL, NOW_MS)

    assert (verdict.disposition is Disposition.ACCEPTED) == (200 <= status <= 299)
    assert (verdict.disposition is Disposition.REJECTED) == (status in {400, 409, 413, 422})
    assert verdict.code == status
    assert verdict.reason.isprintable()


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_names_a_time_means_everybody(status: int) -> None:
    verdict = meaning(status, retry_after="120")

    assert verdict.retry_after_s == 120.0
    assert not verdict.record_may_be_the_cause


# --- reasons ---------------------------------------------------------------------------------------------------


def test_a_rejection_quotes_the_beginning_of_what_the_server_said() -> None:
    body = b'  {"error":\n "pin\x1b[31m \xff"}' + b"x" * 10_000
    reason = judge(Answer(422, {}, body), URL, NOW_MS).reason

    assert reason.startswith('the server answered 422: {"error": "pin?[31m \ufffd"}xxx')
    assert len(reason) < 250


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("server_ms", "what"),
    [
        (NOW_MS - 301_000, "this clock is 5 min ahead of the server's; set it (timedatectl)"),
        (NOW_MS + 301_000, "this clock is 5 min behind the server's; set it (timedatectl)"),
        (NOW_MS + 7_200_000, "this clock is 120 min behind the server's; set it (timedatectl)"),
        (NOW_MS - 300_000, "it does not know this device or its key; register the uuid and the public key there"),
        (NOW_MS + 300_000, "it does not know this device or its key; register the uuid and the public key there"),
    ],
)
def test_a_refusal_by_a_server_with_another_time_is_told_as_clock_skew(status: int, server_ms: int, what: str) -> None:
    verdict = meaning(status, date=http_date(server_ms))

    reason = f"the server answered {status}: {what}"
    assert verdict == Verdict(Disposition.MISCONFIGURED, reason, status, refused=True)


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Foo 2026 99:99:99 GMT"])
def test_a_refusal_without_a_usable_date_is_about_the_device(date: str) -> None:
    assert "does not know this device" in meaning(403, date=date).reason
    assert "does not know this device" in meaning(401).reason


@pytest.mark.parametrize("challenge", ['Bearer realm="KegNet hub"', "Basic", "bearer", "Negotiate"])
def test_a_page_that_asks_for_a_login_is_the_wrong_address_and_says_nothing_of_the_device(challenge: str) -> None:
    said = {"content-type": "text/plain", "www-authenticate": challenge}
    reason = judge(Answer(401, said, b"send the token"), URL, NOW_MS).reason

    assert reason == (
        f"the server answered 401: {URL} asks for a login, so it is not where records go; fix serviceBaseURL"
    )


@pytest.mark.parametrize("challenge", ['KegNet realm="KegNet hub"', "Bearers", ""])
def test_a_challenge_of_another_kind_is_about_the_device(challenge: str) -> None:
    assert "does not know this device" in meaning(401, **{"www-authenticate": challenge}).reason


def test_a_date_without_a_zone_is_taken_for_utc() -> None:
    assert "this clock is 60 min behind" in meaning(401, date="Sat, 21 Nov 2026 01:00:00 -0000").reason


def test_a_redirect_names_the_address_to_configure() -> None:
    reason = meaning(301, location="https://new.example/rest/v2/pour").reason

    assert reason == (
        "the server answered 301: redirects are not followed; put the final address into serviceBaseURL: "
        "https://new.example/rest/v2/pour"
    )
    assert meaning(300).reason.endswith("into serviceBaseURL")


@pytest.mark.parametrize("status", [304, 305, 306, 309, 399])
def test_what_leads_nowhere_is_not_told_as_a_redirect(status: int) -> None:
    verdict = meaning(status)

    assert verdict.disposition is Disposition.MISCONFIGURED
    assert verdict.reason.endswith("is not where it takes records; fix serviceBaseURL")


@pytest.mark.parametrize("status", [404, 405, 410, 418])
def test_a_wrong_address_is_named(status: int) -> None:
    assert meaning(status).reason == (
        f"the server answered {status}: {URL} is not where it takes records; fix serviceBaseURL"
    )


# --- Retry-After -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("9" * 18, 3600.0),
        ("9" * 30, 3600.0),
        ("9" * 5000, 3600.0),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        (http_date(NOW_MS + 90_000), 90.0),
        (http_date(NOW_MS - 90_000), 0.0),
        (http_date(NOW_MS + 86_400_000), 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_obeyed_within_an_hour(value: str | None, wait_s: float | None) -> None:
    assert parse_retry_after(value, None, NOW_MS) == wait_s


@pytest.mark.parametrize("our_ms", [0, NOW_MS - 86_400_000, NOW_MS + 86_400_000 * 365])
def test_a_point_in_time_counts_from_the_server_s_own_clock(our_ms: int) -> None:
    until = http_date(NOW_MS + 90_000)

    assert parse_retry_after(until, http_date(NOW_MS), our_ms) == 90.0


@given(st.text(max_size=40) | st.none(), st.text(max_size=40) | st.none())
def test_whatever_retry_after_says_the_wait_is_none_or_up_to_an_hour(value: str | None, date: str | None) -> None:
    wait_s = parse_retry_after(value, date, NOW_MS)

    assert wait_s is None or 0.0 <= wait_s <= MAX_RETRY_AFTER_S


@given(st.datetimes(), st.integers(-2400, 2400))
def test_whatever_the_date_the_wait_is_none_or_up_to_an_hour(when: datetime, zone: int) -> None:
    value = f"{when:%a, %d %b} {when.year:04d} {when:%H:%M:%S} {zone:+05d}"
    wait_s = parse_retry_after(value, value, NOW_MS)

    assert wait_s is None or wait_s == 0.0


# --- backoff ---------------------------------------------------------------------------------------------------


def test_the_ceiling_doubles_from_one_second_to_five_minutes() -> None:
    backoff = Backoff(lambda: 1.0)

    assert [backoff.next_s() for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30))
def test_the_jitter_is_full(draws: list[float]) -> None:
    values = iter(draws)
    backoff = Backoff(lambda: next(values))

    ceiling_s = FIRST_CEILING_S
    for draw in draws:
        wait_s = backoff.next_s()
        assert wait_s == draw * ceiling_s
        assert 0.0 <= wait_s <= MAX_CEILING_S
        ceiling_s = min(2 * ceiling_s, MAX_CEILING_S)


@given(st.floats(0, MAX_RETRY_AFTER_S), st.floats(0, 1, exclude_max=True))
def test_the_jitter_goes_on_top_of_what_the_server_asked_for(asked_s: float, draw: float) -> None:
    wait_s = Backoff(lambda: draw).next_s(asked_s)

    assert asked_s <= wait_s <= asked_s + FIRST_CEILING_S


# --- errors ----------------------------------------------------------------------------------------------------


def test_an_error_of_configuration_names_every_fault_in_a_line_of_its_own() -> None:
    error = ConfigError(["uuid is missing", "serviceBaseURL is missing"])

    assert isinstance(error, KegnetError)
    assert error.exit_code == 78
    assert error.faults == ("uuid is missing", "serviceBaseURL is missing")
    assert str(error) == "uuid is missing\nserviceBaseURL is missing"
    assert ConfigError("the key is missing").faults == ("the key is missing",)


def test_the_servers_own_word_on_a_refusal_is_passed_on() -> None:
    answer = Answer(401, {"content-type": "text/plain; charset=utf-8"}, b"this device\nis revoked\n")
    verdict = judge(answer, "https://hub.example/rest/v2/pour", NOW_MS)
    assert verdict.disposition is Disposition.MISCONFIGURED
    assert "it refuses this device or its key: this device is revoked; check there" in verdict.reason
