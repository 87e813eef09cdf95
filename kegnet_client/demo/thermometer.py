"""The thermometer of the demo, a process of its own: files in the shape that the kernel gives to a DS18B20."""

import random
import sys
import time
from pathlib import Path

from kegnet_client.core.records import Reading
from kegnet_client.spool.directory import enqueue

SENSOR = "28-0316a2795c5b"
STEP_MILLIDEGREES = 62.5
FIRST_STEPS = 62
DAY_MS, EVERY_MS = 24 * 3_600_000, 20 * 60_000


def show_temperature(tree: Path, steps: int) -> None:
    """Let the sensor in ``tree`` read ``steps`` times 62.5 thousandths of a degree, as the kernel prints it."""
    scratchpad = (steps & 0xFFFF).to_bytes(2, "little") + bytes.fromhex("4b467fff0c10")
    crc = _crc8(scratchpad)
    octets = " ".join(f"{octet:02x}" for octet in (*scratchpad, crc))
    slave = tree / SENSOR / "w1_slave"
    slave.parent.mkdir(parents=True, exist_ok=True)
    temp = slave.with_suffix(".new")
    temp.write_text(f"{octets} : crc={crc:02x} YES\n{octets} t={int(steps * STEP_MILLIDEGREES)}\n", "ascii")
    temp.rename(slave)


def remember_a_day(spool: Path, now_ms: int) -> None:
    """Put what was read within the day before ``now_ms`` into ``spool``, as if the network had been away since."""
    steps = FIRST_STEPS
    for ago_ms in range(EVERY_MS, DAY_MS, EVERY_MS):  # backwards, so that it ends where the thermometer begins
        steps = max(56, min(70, steps + random.choice((-1, 0, 1))))  # noqa: S311 - a drift, no secret
        enqueue(spool, Reading(SENSOR, int(steps * STEP_MILLIDEGREES), now_ms - ago_ms))


def _crc8(data: bytes) -> int:
    """The Dallas/Maxim checksum of a 1-Wire device."""
    crc = 0
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc


def _run(tree: Path) -> None:
    steps = FIRST_STEPS
    while True:
        show_temperature(tree, steps)
        time.sleep(5)
        steps = max(40, min(90, steps + random.choice((-1, 0, 1))))  # noqa: S311 - a drift, no secret


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
