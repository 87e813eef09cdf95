"""What the status LED shows: which pattern tells how the delivery stands, and when each is lit."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from kegnet_client.core.retry_policy import LinkState


class Pattern(Enum):
    """How the LED is, and what that says."""

    OFF = "off: kegnet-client does not run"
    ON = "on: the server takes records"
    SLOW = "blinking slowly: records wait"
    FAST = "blinking fast: something needs fixing, kegnet-client status says what"


HALF_MS = {Pattern.SLOW: 1000, Pattern.FAST: 200}
"""How long one that blinks is lit, and then dark."""
STEADY_MS = 1000
"""How long a steady one stays before it is switched once more."""


def choose_pattern(state: Mapping[str, Any] | None) -> Pattern:
    """The pattern for ``state``, which the delivering process says of itself; None when there is no such process.

    A thermometer that is missing is no reason to blink: who has none misses none.
    """
    if state is None:
        return Pattern.OFF
    sinks = state.get("sinks") or {"": state}
    links = {sink.get("link") for sink in sinks.values()}
    if LinkState.MISCONFIGURED.value in links or state.get("delivery_problems"):
        return Pattern.FAST
    return Pattern.ON if links == {LinkState.UP.value} else Pattern.SLOW


def is_lit(pattern: Pattern, now_ms: int) -> tuple[bool, int]:
    """Whether the LED is lit at ``now_ms`` of a clock that nobody sets, and for how many milliseconds that holds."""
    half_ms = HALF_MS.get(pattern)
    if half_ms is None:
        return pattern is Pattern.ON, STEADY_MS
    return now_ms // half_ms % 2 == 0, half_ms - now_ms % half_ms
