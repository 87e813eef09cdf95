"""How long a test waits for what has to happen, and the wait."""

import time
from collections.abc import Callable

WAIT_S = 30.0
"""After that it fails."""


def wait_until(condition: Callable[[], object], what: str | Callable[[], object], timeout_s: float = WAIT_S) -> None:
    """Until ``condition`` holds; ``what`` says what did not happen; a function is asked at the end."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, what() if callable(what) else what
        time.sleep(0.01)
