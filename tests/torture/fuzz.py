"""Up to a million mutated inputs for everything that takes bytes from elsewhere.

Each has to end in a verdict, within a second of processor time, and without anything being kept of it. The inputs
are those of seed and target, so the same again on the same Python; coverage guides nothing here.
"""

import os
import signal
import time
import traceback
from types import FrameType
from typing import Any

from bench import Bench, ViolationError, figures, make_random
from live_targets import LIVE_TARGETS
from mutate import Mutator
from targets import TARGETS, Feed, Target

ALL = TARGETS + LIVE_TARGETS
SLOW_S = 1.0
HANG_S = 20
ROUND = 200
MAX_GROWTH_KIB = 16 * 1024
WARM_SHARE = 0.2
"""Of a target's time; what is cached is cached by then."""


class HangError(Exception):
    """An input takes for ever."""


def run(bench: Bench, seconds: float) -> None:
    signal.signal(signal.SIGALRM, _hang)
    left_s, shares = seconds, sum(target.share for target in ALL)
    for target in ALL:
        started_s = time.monotonic()
        fuzz(bench, target, left_s * target.share / shares)
        # What one did not need is for the ones behind it.
        left_s -= time.monotonic() - started_s
        shares -= target.share


def replay(bench: Bench, case: dict[str, Any]) -> None:
    signal.signal(signal.SIGALRM, _hang)
    target = next(target for target in ALL if target.name == case["target"])
    with target.open(bench.place("fuzz")) as feed:
        _feed(feed, target, case["input"].encode("latin-1"))


def fuzz(bench: Bench, target: Target, seconds: float) -> None:
    mutator = Mutator(make_random("fuzz", bench.seed, target.name), target.seeds, target.tokens)
    started_s = time.monotonic()
    count, warm_kib = 0, 0
    with target.open(bench.place("fuzz")) as feed:
        while count < target.planned and (count == 0 or time.monotonic() - started_s < seconds):
            for _ in range(min(ROUND, target.planned - count)):
                _feed(feed, target, mutator.draw())
            count += ROUND
            is_warm = time.monotonic() - started_s > seconds * WARM_SHARE or count > target.planned * WARM_SHARE
            if not warm_kib and is_warm:
                warm_kib = figures(os.getpid()).rss_kib
    elapsed_s = time.monotonic() - started_s
    grown_kib = figures(os.getpid()).rss_kib - warm_kib if warm_kib else 0
    bench.say(f"{target.name}: {count} inputs, {count / elapsed_s:.0f}/s, memory {grown_kib:+} KiB")
    if grown_kib > MAX_GROWTH_KIB:
        raise ViolationError(f"{target.name}: {grown_kib} KiB more after {count} inputs", {"target": target.name})


def _feed(feed: Feed, target: Target, data: bytes) -> None:
    case = {"target": target.name, "input": data.decode("latin-1")}
    signal.alarm(HANG_S)
    started_s = time.thread_time()
    try:
        feed(data)
    except Exception as error:
        raise ViolationError(
            f"{target.name}: {data[:200]!r}: {''.join(traceback.format_exception(error))}", case
        ) from error
    finally:
        signal.alarm(0)
    if (took_s := time.thread_time() - started_s) > SLOW_S:
        raise ViolationError(f"{target.name}: {data[:200]!r} takes {took_s:.1f} s", case)


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise HangError(f"no end within {HANG_S} s")
