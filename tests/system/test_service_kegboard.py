"""A Kegboard on the machine: plugged in, unplugged, plugged in again, and the machine restarted while beer flows.

The board is the simulated one, on a pseudo terminal that stands where its serial port would. No udev runs in there, so
that its part is played: the device that the service is bound to is a unit of ours, and ``plug`` starts the service
as SYSTEMD_WANTS does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..support.waits import wait_until

ROOT = Path("/usr/share/kegnet-client")
UNITS = Path("/etc/systemd/system")
PORT = "/dev/ttyUSB0"
UNIT = "kegnet-kegboard@ttyUSB0"
DEVICE = "plugged-in@ttyUSB0"
PIN = 20
SECTION = f"\n[Kegboard bar]\npin = {PIN}\nidle = 1\nminimum = 22\n"
PLUGGED_IN = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
FLOWS_S = 60
WAIT_S = 60.0


class PluggedBoard:
    """The board on ``machine``, and the hands that plug it in."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def start(self) -> None:
        """Have it there, unplugged."""
        self.machine.sh("rm -f /run/board && mkfifo /run/board")
        simulate = f"exec {ROOT}/bin/kegnet-client kegboard-simulate --link {PORT} <>/run/board"
        self.machine.sh(f"systemd-run -q --collect --unit=board sh -c '{simulate}'")
        self.machine.wait_for(f"test -e {PORT}")
        self.tell("unplug")
        self.machine.wait_for(f"test ! -e {PORT}")

    def tell(self, command: str) -> None:
        self.machine.sh(f"echo '{command}' > /run/board")

    def plug(self) -> None:
        self.tell("plug")
        self.machine.wait_for(f"test -e {PORT}")
        self.machine.sh(f"chgrp dialout $(readlink -f {PORT}) && chmod 660 $(readlink -f {PORT})")
        self.machine.sh(f"systemctl start {DEVICE} && systemctl start {UNIT}")

    def unplug(self) -> None:
        self.tell("unplug")
        self.machine.sh(f"systemctl stop {DEVICE}")
        self.machine.wait_for(f"systemctl show -P ActiveState {UNIT} | grep -x inactive")

    def pulses(self) -> int:
        """Those of all its pours at the hub."""
        return sum(pour["pulses"] for pour in self.machine.stored("pours") if pour["pin"] == PIN)

    def wait_for_pulses(self, pulses: int) -> None:
        """Until there are so many, and no more; what a start finds is a pour of its own."""
        wait_until(lambda: self.pulses() >= pulses, f"not all of {pulses} pulses are at the hub", WAIT_S)
        assert (found := self.pulses()) == pulses, f"{found} pulses at the hub, {pulses} were given"


@pytest.fixture
def board(enrolled: Any) -> Iterator[PluggedBoard]:
    enrolled.sh(f"sed s/dev-%i.device/plugged-in@%i.service/ {ROOT}/service/kegnet-kegboard@.service > /root/unit")
    enrolled.sh(f"readlink {UNITS}/kegnet-kegboard@.service > /root/link && rm {UNITS}/kegnet-kegboard@.service")
    enrolled.sh(f"mv /root/unit {UNITS}/kegnet-kegboard@.service")
    enrolled.sh(f"cat > {UNITS}/plugged-in@.service", stdin=PLUGGED_IN)
    enrolled.sh(f"cp {ROOT}/conf/client.conf /root/before.conf")
    enrolled.sh(f"cat >> {ROOT}/conf/client.conf", stdin=SECTION)
    enrolled.sh("systemctl daemon-reload")
    board = PluggedBoard(enrolled)
    board.start()
    yield board
    enrolled.sh(f"systemctl stop {UNIT} {DEVICE} board; cp /root/before.conf {ROOT}/conf/client.conf")
    enrolled.sh(f"rm {UNITS}/plugged-in@.service && ln -sfT $(cat /root/link) {UNITS}/kegnet-kegboard@.service")
    enrolled.sh("systemctl daemon-reload")


def start_counting(board: PluggedBoard) -> int:
    """Plug it in, and have its first pour counted; its pulses at the hub so far."""
    before = board.pulses()
    board.plug()
    board.tell("pour flow0 733 400")
    wait_until(lambda: board.pulses() >= before + 733, "the first pour is not at the hub", WAIT_S)
    board.machine.wait_for(f"! ls {ROOT}/spool/*.pour")
    assert board.pulses() - before == 733
    return board.pulses()


def test_what_a_board_counts_is_at_the_hub_also_after_it_was_unplugged_and_plugged_in(board: PluggedBoard) -> None:
    before = start_counting(board)
    machine = board.machine
    pid = machine.show(UNIT, "MainPID")
    assert machine.sh(f"ps -o user= -p {pid}") == "kegnet-kegboard"
    assert machine.try_sh(f"cat /proc/{pid}/root{ROOT}/conf/privkey.pem", user="kegnet-kegboard").returncode != 0
    board.unplug()
    board.plug()
    board.tell("pour flow0 288 400")
    board.wait_for_pulses(before + 288)


@pytest.mark.slow
def test_what_flows_when_the_machine_restarts_is_one_pour_and_counting_goes_on_after_it(board: PluggedBoard) -> None:
    before = start_counting(board)
    machine = board.machine
    board.tell(f"pour flow0 {300 * FLOWS_S} 300")
    machine.wait_for(f"kegnet-client status | grep 'pin {PIN}: .*, flows'")
    machine.reboot()
    machine.wait_for("systemctl is-active kegnet-client kegnet-hub")
    machine.wait_for(f"! ls {ROOT}/spool/*.pour")
    interrupted = board.pulses() - before
    assert 22 <= interrupted < 300 * FLOWS_S
    board.start()
    board.plug()
    board.tell("pour flow0 411 400")
    board.wait_for_pulses(before + interrupted + 411)
