"""conf/client.conf to a frozen `Config`.

An INI file. `SETTINGS` is the one truth about it: parsing, the search for unknown names and the text of the
file as shipped all follow from that table.

A fault is one line: file, section, setting, what is wrong, what to do. All of them are told at once, in one
`ConfigError`; only of several settings or sections that stand twice is it the first alone.
"""

import configparser
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kegnet_client.core.errors import ConfigError
from kegnet_client.core.records import is_sensor
from kegnet_client.core.wire.base_url import BaseUrl, parse_base_url
from kegnet_client.core.wire.forms import is_uuid
from kegnet_client.host.regular_file import read_regular
from kegnet_client.net.tls import SYSTEM_CA_BUNDLE

DEFAULT_ROOT = Path("/usr/share/kegnet-client")

_MAX_FILE_BYTES = 64 * 1024
_WHOLE = re.compile(r"[1-9][0-9]{0,8}")
_SECTION_LINE = re.compile(r"\[(.+)\]")
_TO_MAKE_ONE = "run `kegnet-client enroll URL CODE` (at a hub) or `kegnet-client init --url URL`"

_HEAD = """\
# The settings of this device. Only uuid and serviceBaseURL have to be set: `kegnet-client enroll` or `init` does it.
#
# A line that starts with # is a comment. All else stands here with its default: to change a setting,
# remove the # before it and write another value. `kegnet-client check` says whether all is well.
#
# Paths that do not start with / hang from /usr/share/kegnet-client, or from what --root or KEGNET_ROOT says."""


@dataclass(frozen=True, slots=True)
class Config:
    """What client.conf says, judged and with every path absolute."""

    root: Path
    file: Path
    uuid: str
    base: BaseUrl
    private_key: Path
    ca_bundle: Path
    ping_interval_s: int
    deadline_s: int
    spool: Path
    thermometer: Path
    sensor: str | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of client.conf. ``convert`` raises `ValueError` with what is wrong and what to write."""

    field: str
    """Its name in `Config`."""
    section: str
    name: str
    explanation: tuple[str, ...]
    convert: Callable[[str, Path], object]
    default: str | None = None
    example: str = ""
    """What the shipped file shows where there is no default."""
    required: bool = False

    @property
    def shipped_line(self) -> str:
        return f"#{self.name} = {self.default or self.example}"


def _uuid(text: str, _root: Path) -> str:
    if not is_uuid(text):
        raise ValueError("is not a uuid; write it as 8-4-4-4-12 hexadecimal digits, as the server knows this device")
    return text


def _base(text: str, _root: Path) -> BaseUrl:
    return parse_base_url(text)


def _path(text: str, root: Path) -> Path:
    return root / text


def _ca_bundle(text: str, root: Path) -> Path:
    return SYSTEM_CA_BUNDLE if text == "system" else root / text


def _seconds(most: int) -> Callable[[str, Path], int]:
    def convert(text: str, _root: Path) -> int:
        if not _WHOLE.fullmatch(text) or int(text) > most:
            raise ValueError(f"is not a number of seconds; write a whole number from 1 to {most}, digits only")
        return int(text)

    return convert


def _sensor(text: str, _root: Path) -> str:
    if not is_sensor(text):
        raise ValueError("is not a 1-Wire id; write it as its directory is called, such as 28-0316a2795c5b")
    return text


SETTINGS = (
    Setting(
        "uuid",
        "KegNet",
        "uuid",
        ("Which device this is, as the server knows it. It is sent exactly as it stands here.",),
        _uuid,
        example="00000000-0000-4000-8000-000000000000",
        required=True,
    ),
    Setting(
        "base",
        "KegNet",
        "serviceBaseURL",
        (
            "The KegNet server. The end of it is the protocol to speak: /rest/v1, /rest/v2 or /rest/v3.",
            "It must be https; plain http is for a server on this same machine.",
        ),
        _base,
        example="https://kegnet.example/rest/v3",
        required=True,
    ),
    Setting(
        "private_key",
        "KegNet",
        "privateKey",
        ("The file with this device's private key. Nobody but its owner may read it, and it never leaves here.",),
        _path,
        default="conf/privkey.pem",
    ),
    Setting(
        "ca_bundle",
        "KegNet",
        "caBundle",
        (
            "The file with the certificates (CA) that vouch for the server; no others are believed. The word",
            f"system stands for those that every public web site uses: {SYSTEM_CA_BUNDLE}",
        ),
        _ca_bundle,
        default="conf/ca.crt",
    ),
    Setting(
        "ping_interval_s",
        "KegNet",
        "pingInterval",
        ("Seconds from one temperature to the next, 1 to 86400 (a day).",),
        _seconds(86400),
        default="600",
    ),
    Setting(
        "deadline_s",
        "KegNet",
        "deadline",
        ("Seconds that the server may take for one answer, 1 to 30. After that it is tried again later.",),
        _seconds(30),
        default="10",
    ),
    Setting(
        "spool",
        "Spool",
        "directory",
        ("Where pours and temperatures wait until the server has them.",),
        _path,
        default="spool",
    ),
    Setting(
        "thermometer",
        "Thermometer",
        "directory",
        ("Where the kernel shows the 1-Wire thermometers.",),
        _path,
        default="/sys/bus/w1/devices",
    ),
    Setting(
        "sensor",
        "Thermometer",
        "sensor",
        (
            "The one thermometer whose temperature is reported. Unless set, all of them are on REST v3; on v1 and",
            "v2, which know one temperature a device, it is the first by id.",
        ),
        _sensor,
        example="28-0316a2795c5b",
    ),
)


def find_root(argument: str | None, environ: Mapping[str, str]) -> Path:
    """The directory from which relative paths hang: ``--root``, else ``KEGNET_ROOT``, else where it is installed."""
    return Path(argument or environ.get("KEGNET_ROOT") or DEFAULT_ROOT).absolute()


def default_file(root: Path) -> Path:
    """The configuration of the device whose root is ``root``."""
    return root / "conf" / "client.conf"


def load(root: Path, file: Path | None = None) -> Config:
    """The configuration in ``file``, or in the root's own."""
    root = root.absolute()
    file = (file or default_file(root)).absolute()
    return parse(read(file), root, file)


def read(file: Path) -> str:
    """The text of ``file``; `ConfigError` says why there is none."""
    try:
        data = read_regular(file, _MAX_FILE_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{file}: does not exist; {_TO_MAKE_ONE}, or name another with --config FILE") from None
    except PermissionError:
        raise ConfigError(
            f"{file}: may not be read by this user; it holds no secret: make the file and its directories readable"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); name another with --config FILE") from None
    try:
        return data.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}: line {line}: is not UTF-8 text; write the line anew, or save it as UTF-8") from None


def parse(text: str, root: Path, file: Path) -> Config:
    """What ``text``, the content of ``file``, says."""
    try:
        given, faults = _given(text)
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(
            f"{file}: line {error.lineno}: {error.line.strip()[:60]!r} stands before any section; "
            "let the first setting follow a line [KegNet]"
        ) from None
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        value = given.get(setting.field, setting.default)
        if value is None:
            values[setting.field] = None
            if setting.required:
                faults.append(f"{_label(setting)}: {_why_missing(setting, text)}")
            continue
        try:
            values[setting.field] = setting.convert(_one_line(value), root)
        except ValueError as error:
            faults.append(f"{_label(setting)}: {value[:60]!r}: {error}")
    if faults:
        raise ConfigError(f"{file}: {fault}" for fault in faults)
    return Config(root=root, file=file, **values)


def given(text: str) -> frozenset[str]:
    """The fields that ``text`` sets, to whatever; none where it is not a configuration at all."""
    try:
        return frozenset(_given(text)[0])
    except configparser.MissingSectionHeaderError:
        return frozenset()


def render() -> str:
    """conf/client.conf as shipped: every setting commented, with its default written out."""
    blocks = [_HEAD]
    section = ""
    for setting in SETTINGS:
        if setting.section != section:
            section = setting.section
            blocks.append(f"[{section}]")
        blocks.append("\n".join([*(f"# {line}" for line in setting.explanation), setting.shipped_line]))
    return "\n\n".join(blocks) + "\n"


def fill(text: str, values: Mapping[str, str]) -> str:
    """``text`` with the fields of ``values`` set, all else as it was.

    A setting takes the place of its line as shipped; where that is gone, it comes first in its section.
    """
    lines = text.split("\n")
    for setting in SETTINGS:
        if setting.field in values:
            _set(lines, setting, values[setting.field])
    return "\n".join(lines)


def _set(lines: list[str], setting: Setting, value: str) -> None:
    headers = {number: match[1] for number, line in enumerate(lines) if (match := _SECTION_LINE.match(line))}
    start = next((number for number, section in headers.items() if section == setting.section), None)
    if start is None:
        lines += [f"[{setting.section}]", f"{setting.name} = {value}", ""]
        return
    end = min((number for number in headers if number > start), default=len(lines))
    new = f"{setting.name} = {value}" + ("\r" if lines[start].endswith("\r") else "")
    shipped = (number for number in range(start, end) if lines[number].rstrip() == setting.shipped_line)
    if (number := next(shipped, None)) is not None:
        lines[number] = new
    else:
        lines.insert(start + 1, new)


def _given(text: str) -> tuple[dict[str, str], list[str]]:
    """The raw value of each field that ``text`` sets, and what is wrong with the rest."""
    parser, faults = _scan(text)
    values = {}
    for section in parser.sections():
        known = {setting.name.lower(): setting for setting in SETTINGS if setting.section == section}
        if not known:
            faults.append(
                f"[{section[:60]}]: unknown section{_suggest(section, {s.section for s in SETTINGS}, '[{}]')}"
            )
            continue
        for name, value in parser[section].items():
            if name in known:
                values[known[name].field] = value
            else:
                faults.append(f"[{section}] {name[:60]}: unknown setting{_suggest_setting(name, section)}")
    return values, [_printable(fault) for fault in faults]


def _scan(text: str) -> tuple[configparser.ConfigParser, list[str]]:
    faults: list[str] = []
    parser = _parser(strict=True)
    try:
        _read_lines(parser, text, faults)
    except configparser.DuplicateOptionError as error:
        name = next((s.name for s in SETTINGS if s.name.lower() == error.option), error.option)
        faults = [f"[{error.section}] {name}: stands there twice, again in line {error.lineno}; delete one"]
    except configparser.DuplicateSectionError as error:
        faults = [f"[{error.section}]: begins twice, again in line {error.lineno}; put its settings under one"]
    else:
        return parser, faults
    parser = _parser(strict=False)  # to see what else is wrong
    _read_lines(parser, text, faults)
    return parser, faults


def _parser(*, strict: bool) -> configparser.ConfigParser:
    # No name in brackets is empty, so there is no section whose settings would count in all others.
    return configparser.ConfigParser(interpolation=None, strict=strict, default_section="")


def _read_lines(parser: configparser.ConfigParser, text: str, faults: list[str]) -> None:
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError:
        raise
    except configparser.ParsingError as error:  # raised after the last line: the others were taken
        lines = text.split("\n")
        faults.extend(
            f"line {number}: {lines[number - 1].strip()[:60]!r} is no setting; write NAME = VALUE, or put a # before it"
            for number, _ in error.errors
        )


def _one_line(value: str) -> str:
    if not value:
        raise ValueError("is empty; write a value, or put a # before the line")
    if "\n" in value:
        raise ValueError("goes on in the next line, because that starts with a space; remove the space")
    if not value.isprintable():
        raise ValueError("holds a character that cannot be seen; write the line anew")
    return value


def _why_missing(setting: Setting, text: str) -> str:
    commented = re.search(rf"^[ \t]*[#;][ \t]*{setting.name}[ \t]*[=:]", text, re.MULTILINE | re.IGNORECASE)
    if commented:
        return f"is still commented out; {_TO_MAKE_ONE}, or remove the # and write this device's own"
    return f"is missing; {_TO_MAKE_ONE}, or write {setting.name} = {setting.example}, with this device's own value"


def _suggest_setting(name: str, section: str) -> str:
    elsewhere = [setting.section for setting in SETTINGS if setting.name.lower() == name]
    if elsewhere:
        return f"; it belongs under [{elsewhere[0]}]"
    return _suggest(name, [setting.name for setting in SETTINGS if setting.section == section], "{}")


def _suggest(name: str, names: Iterable[str], form: str) -> str:
    import difflib  # late: only a misspelt file takes it

    by_key = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_key, n=1)
    if close:
        return f"; did you mean {form.format(by_key[close[0]])}?"
    return f"; delete it, known are {', '.join(form.format(known) for known in sorted(by_key.values()))}"


def _label(setting: Setting) -> str:
    return f"[{setting.section}] {setting.name}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
