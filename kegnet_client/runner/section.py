"""The section [Runner]: the database of programs, and what programs may have on this device."""

from dataclasses import dataclass
from pathlib import Path

from kegnet_client.config.settings import Section, Setting, to_path
from kegnet_client.runner.gpio import is_gpio_line
from kegnet_client.runner.url import check_url


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What the section says; without a ``url`` no program runs here."""

    url: str | None
    discovery: bool
    database: str
    user: str | None
    ca_bundle: Path | None
    directory: Path
    mac_id: int | None
    allow_network: bool
    allow_spool: bool
    allow_devices: frozenset[str] | None
    allow_gpio: frozenset[str] | None
    most_memory_mib: int


def _to_text(text: str, _root: Path) -> str:
    return text


def _to_url(text: str, _root: Path) -> str:
    return check_url(text)


def _to_answer(text: str, _root: Path) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("is neither yes nor no")
    return text == "yes"


def _to_mac_id(text: str, _root: Path) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) < 2**48):
        raise ValueError("is no MacID; write the MAC as a decimal number, such as 202481587074134")
    return int(text)


def _to_mib(text: str, _root: Path) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65536):
        raise ValueError("is no number of MiB; write a whole number from 1 to 65536")
    return int(text)


def _to_devices(text: str, _root: Path) -> frozenset[str]:
    devices = frozenset(text.split())
    if not all(device.startswith("/dev/") for device in devices):
        raise ValueError("is no list of devices; write paths such as /dev/ttyUSB0, with spaces between them")
    return devices


def _to_lines(text: str, _root: Path) -> frozenset[str]:
    lines = frozenset(text.split())
    if not all(map(is_gpio_line, lines)):
        raise ValueError("is no list of GPIO lines; write such as /dev/gpiochip0:17, with spaces between them")
    return lines


RUNNER = Section(
    "Runner",
    RunnerSettings,
    (
        Setting(
            "url",
            "url",
            (
                "The CouchDB server that has programs for this device. It must be https; plain http is for a server",
                "on this same machine.",
            ),
            _to_url,
            example="https://couch.example:6984",
        ),
        Setting(
            "discovery",
            "discovery",
            (
                "Whether this device answers on UDP port 53000 who it is, and, unless url is set, takes the server",
                "that somebody in conf/allowed_signers announces there: yes or no.",
            ),
            _to_answer,
            default="no",
        ),
        Setting("database", "database", ("Its database.",), _to_text, default="nedm/raspberries"),
        Setting(
            "user",
            "user",
            ("Who this device is there. Unless set, it is the MacID; kegnet-client runner identity prints it.",),
            _to_text,
            example="202481587074134",
        ),
        Setting(
            "ca_bundle",
            "caBundle",
            ("The certificates (CA) that vouch for it, if not those that every public web site uses.",),
            to_path,
            example="conf/couch-ca.crt",
        ),
        Setting(
            "directory",
            "directory",
            ("Where programs and their state are kept.",),
            to_path,
            default="/var/lib/kegnet-runner",
        ),
        Setting(
            "mac_id",
            "macId",
            ("What this device is called in documents, if not by the MAC of its network interface.",),
            _to_mac_id,
            example="202481587074134",
        ),
        Setting(
            "allow_network",
            "allowNetwork",
            ("Whether programs that ask for the network get it: yes or no.",),
            _to_answer,
            default="no",
        ),
        Setting(
            "allow_spool",
            "allowSpool",
            ("Whether programs that ask for it may put pours and temperatures into the spool: yes or no.",),
            _to_answer,
            default="no",
        ),
        Setting(
            "allow_devices",
            "allowDevices",
            (
                "The devices that programs get who ask for them. A GPIO chip among them is the whole chip: write",
                "single lines below.",
            ),
            _to_devices,
            example="/dev/ttyACM0 /dev/ttyUSB0",
        ),
        Setting(
            "allow_gpio",
            "allowGpio",
            ("The GPIO lines that programs get who ask for them, each by its chip and its number there.",),
            _to_lines,
            example="/dev/gpiochip0:17 /dev/gpiochip0:27",
        ),
        Setting(
            "most_memory_mib",
            "mostMemory",
            (
                "MiB that each process of a program may ask for, 1 to 65536; where the memory controller is on, also",
                "all of them together.",
            ),
            _to_mib,
            default="128",
        ),
    ),
)
