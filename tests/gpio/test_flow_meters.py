"""``kegnet-client flow-meter`` on lines of a real GPIO character device: what turns is what is in the spool."""

from signal import Signals

import pytest

from kegnet_client.host.state_file import StateFile
from kegnet_client.producers.gpio_line import BUFFER_EDGES, CONSUMER, Bias, GpioLine

from ..support.device import Device
from ..support.program import Program
from ..support.waits import wait_until
from .conftest import WAIT_S, records
from .tap import Tap, plug_in, unplug

pytestmark = pytest.mark.slow

BOTH = "counts: tap1, tap2"
FAST_HZ = 10_000
"""No meter is so fast: the kernel itself has the line turn, since a program here gets to some 2,000."""
TOLERANCE = 0.02
"""The scheduler stretches a pour by so much: between its first pulse and its last, not in their number."""


def count(device: Device) -> Program:
    """The program, once both of its lines are looked at."""
    program = device.start("flow-meter", "--verbose")
    program.log.wait_for(BOTH, timeout_s=WAIT_S)
    wait_until(StateFile.of_producer(device.root, "flow-meter").read, "it has not looked at its lines", WAIT_S)
    return program


def end(program: Program) -> None:
    """It ends well. Its pid is that of the process: this kernel has no lists of children in /proc."""
    program.process.terminate()
    assert program.process.wait(WAIT_S) == 0


def wait_for_records(device: Device, *expected: tuple[int, int]) -> None:
    """Until the spool has these, each a pin and its pulses, and no other."""
    wait_until(lambda: len(records(device.spool)) >= len(expected), "a pour is missing", WAIT_S)
    assert [record[:2] for record in records(device.spool)] == sorted(expected)


@pytest.mark.parametrize(("pulses", "hertz"), [(120, 60), (541, 270), (1401, 700)])
def test_a_pour_is_counted_to_the_pulse(device: Device, tap: Tap, pulses: int, hertz: int) -> None:
    program = count(device)
    rate = tap.turn(pulses, hertz)
    wait_for_records(device, (0, pulses))

    ((_, _, elapsed_ms),) = records(device.spool)
    print(f"{pulses} pulses at {rate:.1f} Hz: {elapsed_ms} ms")
    assert elapsed_ms == pytest.approx((pulses - 1) / rate * 1000, rel=TOLERANCE, abs=30)
    end(program)
    assert "problem" not in "".join(program.log.lines())


def test_two_meters_count_at_once(device: Device, tap: Tap, other_tap: Tap) -> None:
    program = count(device)
    for _ in range(60):
        tap.turn(5, 500)
        other_tap.turn(3, 500)
    wait_for_records(device, (0, 300), (3, 180))

    end(program)


def test_a_program_that_is_held_up_counts_what_the_kernel_could_not_keep_for_it(device: Device, tap: Tap) -> None:
    program = count(device)
    tap.turn(100, 270)
    program.process.send_signal(Signals.SIGSTOP)
    rate = tap.burst(5000, FAST_HZ)
    program.process.send_signal(Signals.SIGCONT)
    wait_for_records(device, (0, 5100))

    assert rate > 0.8 * FAST_HZ
    print(f"5,000 pulses at {rate:.0f} Hz")
    end(program)


def test_the_last_edges_of_an_overflow_tell_by_their_numbers_how_many_were_dropped(tap: Tap) -> None:
    line = GpioLine("GPIO17", None, Bias.UP)
    rate = tap.burst(5000, FAST_HZ)
    edges = line.read()
    line.close()

    assert rate > 0.8 * FAST_HZ
    print(f"5,000 pulses at {rate:.0f} Hz: {len(edges)} edges, numbers {edges[0][1]} to {edges[-1][1]}")
    assert [number for _, number in edges] == list(range(5000 - BUFFER_EDGES + 1, 5001))
    assert edges == sorted(edges)


def test_a_line_that_is_in_use_is_told_and_counted_once_it_is_free(device: Device, tap: Tap) -> None:
    line = GpioLine("17", None, Bias.UP)
    program = count(device)
    busy = f"line 17 of /dev/gpiochip0 is in use by '{CONSUMER}': end that, or write another line"
    program.log.wait_for(f"flow meter tap1 counts nothing, the others go on: {busy}", timeout_s=WAIT_S)
    line.close()
    program.log.wait_for("flow meter tap1 counts again", timeout_s=WAIT_S)
    tap.turn(200, 270)
    wait_for_records(device, (0, 200))

    assert len(program.log.lines("counts nothing")) == 1
    end(program)


def test_a_chip_that_is_unplugged_is_told_and_counts_again_when_it_is_back(device: Device, tap: Tap) -> None:
    program = count(device)
    tap.turn(100, 270)
    wait_for_records(device, (0, 100))
    unplug()
    program.log.wait_for("flow meter tap1 counts nothing", timeout_s=WAIT_S)
    program.log.wait_for("flow meter tap2 counts nothing", timeout_s=WAIT_S)
    plug_in()
    program.log.wait_for("counts again", count=2, timeout_s=WAIT_S)
    again = Tap(17)
    again.turn(200, 270)
    again.close()
    wait_for_records(device, (0, 100), (0, 200))

    end(program)
