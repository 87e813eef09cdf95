"""A machine with a systemd of its own: this one's root file system, started in a container.

What happens in there stays in memory: an overlay keeps the changes, also over a reboot of the machine. It has a
network of its own with nothing in it but itself, and so installs from a directory of packages.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..support.pages import section, typed
from ..support.preloaded import Preloaded

CHECKOUT = Path(__file__).parents[2]
INSTALLED = Path("/usr/share/kegnet-client")
SENSOR = "28-0316a2795c5b"
TIMEOUT_S = 60.0
POLL_S = 0.05
REBOOT = 133
"""What systemd-nspawn ends with when the machine wants to be started again."""
NEEDED = {"systemd-nspawn": "systemd-container", "rsyslogd": "rsyslog", "dbus-daemon": "dbus", "strace": "strace"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

FIRST_STEPS = [step.removeprefix("sudo ") for step in typed(section("From the box to the first pour"))]
"""What a newcomer types, who is root here."""
ENROL = "kegnet-client enroll https://"
"""How the step begins that the one before it prints."""

ASK_THE_HUB = """
import pathlib, ssl, sys, urllib.request
home = pathlib.Path("/var/lib/kegnet-hub")
headers = {"Authorization": "Bearer " + (home / "token").read_text().strip()}
request = urllib.request.Request("https://localhost:8443/api/" + sys.argv[1] + "?limit=1000", headers=headers)
context = ssl.create_default_context(cafile=home / "ca.crt")
print(urllib.request.urlopen(request, context=context).read().decode())
"""


@dataclass
class Machine:
    """A container; ``nspawn`` is the process outside that keeps it, made by ``start``."""

    start: Callable[[], "subprocess.Popen[bytes]"]
    nspawn: "subprocess.Popen[bytes]"
    one_wire: Path
    packages: Path

    def try_sh(
        self, script: str, *, user: str = "root", stdin: str = "", **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``script`` in there, as it went."""
        environment = [f"{name}={value}" for name, value in {"PATH": PATH, "LANG": "C.UTF-8", **environ}.items()]
        as_user = [] if user == "root" else ["runuser", "-u", user, "--"]
        return subprocess.run(
            ["nsenter", "-t", str(self.init()), "-a", "env", "-i", *environment, *as_user, "sh", "-c", script],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=4 * TIMEOUT_S,
            check=False,
        )

    def sh(self, script: str, *, user: str = "root", stdin: str = "", **environ: str) -> str:
        """What ``script`` prints; it has to end well."""
        done = self.try_sh(script, user=user, stdin=stdin, **environ)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def wait_for(self, script: str) -> str:
        """What ``script`` prints once it ends well."""
        deadline = time.monotonic() + TIMEOUT_S
        while (done := self.try_sh(script)).returncode:
            if time.monotonic() > deadline:
                log = self.try_sh("journalctl -b --no-pager -n 60 -o short-monotonic").stdout
                pytest.fail(f"not within {TIMEOUT_S:.0f} s: {script}\n{done.stdout}{done.stderr}\n{log}")
            time.sleep(POLL_S)
        return done.stdout.strip()

    def show(self, unit: str, what: str) -> str:
        """A property of ``unit``."""
        return self.sh(f"systemctl show -P {what} {unit}")

    def start_client(self) -> int:
        """Start it, or start it again; its process."""
        self.sh("systemctl restart kegnet-client")
        return int(self.show("kegnet-client", "MainPID"))

    def change_configuration(self, setting: str, value: str) -> None:
        """Set ``setting`` of client.conf, or another value of it."""
        file = INSTALLED / "conf" / "client.conf"
        self.sh(f"sed -i 's|^#*{setting} = .*|{setting} = {value}|' {file} && grep -qF '{setting} = {value}' {file}")

    def drop(self, name: str, pulses: int) -> None:
        """A pour, put into the spool as the README says; ``pulses`` is by what it is known again."""
        line = f'echo "0,{pulses},8123,$(date +%s%3N)" > .{name}.tmp && sync && mv .{name}.tmp {name}'
        self.sh(f"cd {INSTALLED}/spool && {line}", user="tap")

    def stored(self, what: str) -> list[dict[str, Any]]:
        """What the hub has: pours or temperatures, the newest first."""
        done = self.try_sh(f"python3 -c '{ASK_THE_HUB}' {what}")
        assert done.returncode == 0, done.stderr
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items

    def wait_for_pours(self, *pulses: int) -> None:
        """Until the hub has each of these, once."""
        deadline = time.monotonic() + TIMEOUT_S
        missing = set(pulses)
        while missing:
            if time.monotonic() > deadline:
                log = self.try_sh("journalctl -b --no-pager -n 60 -o short-monotonic").stdout
                pytest.fail(f"not at the hub: {sorted(missing)}\n{log}")
            time.sleep(POLL_S)
            with contextlib.suppress(AssertionError):  # the hub may just have been started
                stored = [pour["pulses"] for pour in self.stored("pours")]
                missing = set(pulses) - set(stored)
        assert [stored.count(number) for number in pulses] == [1] * len(pulses)

    def set_temperature(self, millidegrees: int) -> None:
        """What the thermometer shows from now on: the two lines that the kernel's driver prints."""
        low, high = (millidegrees * 16 // 1000).to_bytes(2, "little", signed=True)
        data = f"{low:02x} {high:02x} 4b 46 7f ff 0c 10 d1"
        device = self.one_wire / "devices" / SENSOR
        device.mkdir(exist_ok=True)
        (device / "w1_slave").write_text(f"{data} : crc=d1 YES\n{data} t={millidegrees}\n")

    def install(
        self, arguments: str = "", sources: str = "/mnt/checkout", **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run service/install of this checkout, or of other ``sources``."""
        packages = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt/packages", "PIP_CONFIG_FILE": "/dev/null"}
        return self.try_sh(f"{sources}/service/install {arguments}", **{**packages, **environ})

    def reboot(self) -> None:
        """As ``systemctl reboot`` does it."""
        self.try_sh("systemctl reboot")  # which may end this very command
        assert self.nspawn.wait(TIMEOUT_S) == REBOOT, "the machine was to start again"
        self.nspawn = self.start()
        self.wait_until_booted()

    def end(self) -> None:
        """Shut it down."""
        self.nspawn.terminate()
        try:
            self.nspawn.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()  # its processes go with it: they are in its PID namespace
            self.nspawn.wait()

    def wait_until_booted(self) -> None:
        """Until systemd has started what it starts; that something else of this machine fails in there is no matter."""
        self.wait_for("systemctl is-system-running --wait | grep -qE 'running|degraded'")
        # With a network of its own the container gets a /sys of its own, too, which hides what is bound into it.
        self.sh("mount -t tmpfs -o mode=755 tmpfs /sys/bus && mkdir /sys/bus/w1 && mount --bind /mnt/w1 /sys/bus/w1")

    def init(self) -> int:
        """The container's first process, as it is numbered out here."""
        deadline = time.monotonic() + TIMEOUT_S
        while (pid := self._find_init()) is None:
            assert self.nspawn.poll() is None, "the machine has ended"
            assert time.monotonic() < deadline, "the machine does not start"
            time.sleep(POLL_S)
        return pid

    def _find_init(self) -> int | None:
        ours = Path("/proc/self/ns/pid").readlink()
        for task in Path(f"/proc/{self.nspawn.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                with contextlib.suppress(OSError):
                    is_init = Path(f"/proc/{child}/comm").read_text() == "systemd\n"
                    if is_init and Path(f"/proc/{child}/ns/pid").readlink() != ours:
                        return int(child)
        return None


def run(*command: str | Path) -> None:
    """Do what a fixture needs."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    """What runs the commands of a walk without a machine of its own."""
    with contextlib.closing(Preloaded()) as program:
        yield program


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip needs for an installation, downloaded for the Python that will run there, and a source archive."""
    directory = tmp_path_factory.mktemp("packages")
    sources = directory / "sources"
    shutil.copytree(CHECKOUT, sources, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info"))
    run("/usr/bin/python3", "-m", "venv", directory / "venv")
    pip = directory / "venv" / "bin" / "pip"
    found = directory / "found"
    run(
        pip,
        "download",
        "-q",
        "-d",
        found,
        f"{sources}[hub,dashboard,kegboard,mqtt,notify,postgresql,redis,runner]",
        "setuptools>=68",
        "wheel",
    )
    run(pip, "install", "-q", "build")
    run(directory / "venv" / "bin" / "python", "-m", "build", "-q", "--sdist", "-o", found, sources)
    return found


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The container, booted, without kegnet-client; skipped where there cannot be one."""
    if os.geteuid() != 0:
        pytest.skip("booting a systemd takes root")
    if missing := [package for program, package in NEEDED.items() if shutil.which(program) is None]:
        pytest.skip(f"booting a systemd takes what Debian calls {', '.join(missing)}")
    directory = tmp_path_factory.mktemp("machine")
    one_wire = directory / "w1"
    (one_wire / "devices").mkdir(parents=True)
    packages = directory / "packages"
    packages.mkdir()
    changes, root = directory / "changes", directory / "root"
    changes.mkdir()
    root.mkdir()
    with contextlib.ExitStack() as undo:
        mount(undo, "-t", "tmpfs", "-o", "mode=755", "kegnet-changes", changes)
        (changes / "upper").mkdir(mode=0o755)
        (changes / "work").mkdir()
        layers = f"lowerdir=/,upperdir={changes}/upper,workdir={changes}/work"
        mount(undo, "-t", "overlay", "-o", layers, "kegnet-machine", root)
        log = undo.enter_context((directory / "boot.log").open("wb"))
        command: list[str | Path] = [
            *("systemd-nspawn", "-D", root, "-b", f"--machine=kegnet-{secrets.token_hex(4)}"),
            *("--register=no", "--keep-unit", "--link-journal=no", "--console=pipe", "--private-network"),
            *(
                f"--bind-ro={CHECKOUT}:/mnt/checkout",
                f"--bind-ro={packages}:/mnt/packages",
                f"--bind={one_wire}:/mnt/w1",
            ),
        ]

        def start() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        machine = Machine(start, start(), one_wire, packages)
        undo.callback(machine.end)
        machine.wait_until_booted()
        yield machine


def mount(undo: contextlib.ExitStack, *what: str | Path) -> None:
    """Mount until ``undo``; skip where that is not allowed."""
    done = subprocess.run(["mount", *what], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"booting a systemd takes an overlay: {done.stderr.strip()}")
    undo.callback(run, "umount", what[-1])


@pytest.fixture(scope="session")
def installed(machine: Machine, packages: Path) -> Machine:
    """The machine after the first step of the newcomer's walk, ``service/install --hub``; nothing configured yet."""
    for package in packages.iterdir():
        shutil.copy(package, machine.packages)
    install, *_ = FIRST_STEPS
    assert install.startswith("./service/install ")
    done = machine.install(install.partition(" ")[2])
    assert done.returncode == 0, done.stderr
    for user, groups in {"tap": "-G kegnet", "keg": "-G kegnet", "guest": ""}.items():
        machine.sh(f"useradd -m {groups} {user}")
    return machine


@pytest.fixture(scope="session")
def enrolled(installed: Machine) -> Machine:
    """The machine with its hub running, and the client known to it and running, too, by the README's further steps.

    It stays so: what looks at a machine where nothing is configured yet stands before, at the top of test_service.py,
    and modules that begin here are named to come behind that one.
    """
    # As Debian's installer leaves it: a machine finds itself by its name.
    installed.sh("echo 127.0.1.1 $(hostname) >> /etc/hosts")
    invited = ""
    for step in FIRST_STEPS[1:]:
        if step.startswith(ENROL):
            step = re.sub("^sudo ", "", invited)
            assert step.startswith(ENROL), f"the README has another command than {invited!r}"
        invited = installed.sh(step).strip()
    return installed
