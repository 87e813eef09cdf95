"""When the wall clock is trusted, and how a step of it is seen."""

import ctypes
import errno
import math
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kegnet_client import RELEASED_MS
from kegnet_client.host.clock import SETTLING_S, STA_UNSYNC, TIME_ERROR, Clock, StepDetector, read_kernel_clock

from ..support.clock import FakeClock

SET_MS = RELEASED_MS + 86_400_000
TIME_OK = 0


@pytest.mark.parametrize(
    ("kernel", "synchronised"),
    [
        ((TIME_OK, 0), True),
        ((TIME_OK, 0x2001), True),
        ((TIME_ERROR, 0), False),
        ((TIME_OK, STA_UNSYNC), False),
        ((TIME_ERROR, STA_UNSYNC), False),
        (PermissionError(errno.EPERM, "no"), False),
        (OSError(errno.ENOSYS, "no"), False),
    ],
)
def test_the_clock_is_synchronised_only_if_the_kernel_says_so(
    kernel: tuple[int, int] | OSError, synchronised: bool
) -> None:
    assert FakeClock(SET_MS, 10, kernel).synchronised() is synchronised


@pytest.mark.parametrize("wall_ms", [0, 1, 1_262_304_000_000, RELEASED_MS - 1, RELEASED_MS])
@pytest.mark.parametrize("since_boot_s", [1.0, SETTLING_S, 1e6])
def test_a_time_before_this_program_was_made_is_never_believed(wall_ms: int, since_boot_s: float) -> None:
    doubt = FakeClock(wall_ms, since_boot_s, (TIME_OK, 0)).doubt()

    assert doubt == "this machine's clock stands before 2026-11-27, when this program was made: set it (timedatectl)"


def test_right_after_a_boot_an_unsynchronised_clock_is_not_believed() -> None:
    doubt = FakeClock(SET_MS, SETTLING_S - 0.1, (TIME_ERROR, STA_UNSYNC)).doubt()

    assert doubt == "this machine has just started and its clock is not synchronised yet"


def test_right_after_a_boot_a_synchronised_clock_is_believed() -> None:
    assert FakeClock(SET_MS, 1.0, (TIME_OK, 0)).doubt() is None


def test_five_minutes_after_a_boot_the_clock_is_believed_without_a_time_server() -> None:
    assert FakeClock(SET_MS, SETTLING_S, (TIME_ERROR, STA_UNSYNC)).doubt() is None


def test_no_test_depends_on_how_long_this_machine_has_been_up() -> None:
    assert Clock().synchronised()
    assert read_kernel_clock not in (Clock.__init__.__defaults__ or ()), "what this machine's kernel says would decide"


def test_the_wall_clock_is_unix_time_in_milliseconds() -> None:
    before_s = time.time()
    wall_ms = Clock().wall_ms()
    assert math.floor(before_s * 1000) <= wall_ms <= time.time() * 1000


def test_the_monotonic_clock_counts_seconds_since_the_boot_a_suspension_included() -> None:
    before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before_s <= Clock().monotonic_s() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_kernel_is_asked_without_any_privilege() -> None:
    try:
        state, status = read_kernel_clock()
    except PermissionError:
        pytest.skip("this sandbox refuses adjtimex")
    assert 0 <= state <= TIME_ERROR
    assert (state == TIME_ERROR) or not status & STA_UNSYNC


def test_what_the_c_library_answers_is_passed_on() -> None:
    def adjtimex(reference: object) -> int:
        timex = reference._obj  # type: ignore[attr-defined]  # what byref() points to
        assert timex.modes == 0, "it would set the clock"
        timex.status = 0x2001
        return TIME_OK

    assert read_kernel_clock(SimpleNamespace(adjtimex=adjtimex)) == (TIME_OK, 0x2001)


def test_a_refused_question_is_an_os_error() -> None:
    def adjtimex(_: object) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1

    with pytest.raises(PermissionError):
        read_kernel_clock(SimpleNamespace(adjtimex=adjtimex))


def test_a_c_library_without_adjtimex_is_an_os_error() -> None:
    with pytest.raises(OSError, match="has no adjtimex"):
        read_kernel_clock(SimpleNamespace())


def test_a_clock_that_was_never_seen_to_step_is_stable_for_ever() -> None:
    steps = StepDetector()
    assert steps.stable_for_s(5.0) == math.inf
    assert not steps.feed(10.0, SET_MS)
    assert steps.stable_for_s(20.0) == math.inf


@given(
    step_ms=st.one_of(st.integers(1001, 10**12), st.integers(-(10**12), -1001)),
    passed_s=st.integers(0, 100_000),
)
def test_a_wall_clock_that_was_set_is_seen_either_way(step_ms: int, passed_s: int) -> None:
    steps = StepDetector()
    steps.feed(10.0, SET_MS)

    assert steps.feed(10.0 + passed_s, SET_MS + passed_s * 1000 + step_ms)
    assert not steps.feed(11.0 + passed_s, SET_MS + passed_s * 1000 + step_ms + 1000)
    assert steps.stable_for_s(70.0 + passed_s) == 60.0


@given(slewed_ms=st.integers(-999, 999), passed_s=st.integers(0, 100_000))
def test_a_slewed_clock_and_a_suspended_machine_are_no_step(slewed_ms: int, passed_s: int) -> None:
    steps = StepDetector()
    steps.feed(10.0, SET_MS)

    assert not steps.feed(10.0 + passed_s, SET_MS + passed_s * 1000 + slewed_ms)
    assert steps.stable_for_s(10.0 + passed_s) == math.inf


def test_a_clock_set_from_1970_is_a_step() -> None:
    steps = StepDetector()
    assert not steps.feed(5.0, 5_000)
    assert steps.feed(65.0, SET_MS)
