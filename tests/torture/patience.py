"""Slow is not lost: a wait that lasts as long as there is progress."""

import math
import time
from collections.abc import Callable

STILL_S = 120.0
"""A machine that is starved delivers slowly, and is waited for; nothing gone for so long is a standstill."""
LOOK_S = 0.2
"""Directories and rows of another process are counted, and no event tells of them."""
NUDGE_S = 5.0


def wait_while_falling(
    count: Callable[[], int],
    below: int,
    *,
    still_s: float = STILL_S,
    nudge: Callable[[], None] = lambda: None,
) -> bool:
    """Whether ``count()`` came ``below``, however long that took: it fails when nothing has gone for ``still_s``.

    ``nudge`` is called at first and every `NUDGE_S`.
    """
    least, moved_s, nudged_s = count(), time.monotonic(), -math.inf
    while (now := count()) >= below:
        now_s = time.monotonic()
        if now < least:
            least, moved_s = now, now_s
        elif now_s - moved_s > still_s:
            return False
        if now_s - nudged_s >= NUDGE_S:
            nudge()
            nudged_s = now_s
        time.sleep(LOOK_S)
    return True
