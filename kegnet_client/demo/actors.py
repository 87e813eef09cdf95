"""The hardware of the demo, each part a process of its own: a tap with its flow meter, a 1-Wire thermometer.

The tap does what every producer does: write a file beside the spool's names, rename it into place. The
thermometer is a tree of files in the shape that the kernel gives to a DS18B20.
"""

import random
import sys
import time
from pathlib import Path

SENSOR = "28-0316a2795c5b"
PULSES_PER_LITRE = 5400
LITRES_PER_S = 0.06
STEP_MILLIDEGREES = 62.5


def draw(spool: Path, pin: int, litres: float) -> str:
    """Drop the file of one pour that has just ended, as a flow meter does; its name."""
    elapsed_ms = round(litres / LITRES_PER_S * 1000)
    started_ms = time.time_ns() // 1_000_000 - elapsed_ms
    name = f"{pin}{started_ms}"
    temp = spool / f".{name}.tmp"
    temp.write_text(f"{pin},{round(litres * PULSES_PER_LITRE)},{elapsed_ms},{started_ms}", "ascii")
    temp.rename(spool / f"{name}.pour")
    return f"{name}.pour"


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


def _crc8(data: bytes) -> int:
    """The Dallas/Maxim checksum of a 1-Wire device."""
    crc = 0
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc


def _tap(spool: Path) -> None:
    while True:
        litres = random.choice((0.2, 0.3, 0.4, 0.5))  # noqa: S311 - how thirsty a guest is, is no secret
        print(f"{litres} l go through ...", flush=True)
        time.sleep(litres / LITRES_PER_S)
        print(f"{draw(spool, 0, litres)} is in the spool", flush=True)
        time.sleep(random.uniform(1, 4))  # noqa: S311 - nor is when the next one comes


def _thermometer(tree: Path) -> None:
    steps = 62
    while True:
        show_temperature(tree, steps)
        time.sleep(5)
        steps = max(40, min(90, steps + random.choice((-1, 0, 1))))  # noqa: S311 - a drift, no secret


if __name__ == "__main__":
    {"tap": _tap, "thermometer": _thermometer}[sys.argv[1]](Path(sys.argv[2]))
