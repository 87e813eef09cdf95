"""conf/client.conf to a `Config`: an INI file, judged by the tables of its sections.

A fault is one line: file, section, setting, what is wrong, what to do. All of them are told at once, in one
`ConfigError`; only of several settings or sections that stand twice is it the first alone.
"""

import configparser
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from kegnet_client.config.settings import MAKE_DEVICE, AnySection, Config, Setting
from kegnet_client.core.errors import ConfigError
from kegnet_client.host.regular_file import read_regular

_MAX_FILE_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

_Given = dict[tuple[str, str], dict[str, str]]
"""The raw value of each field that is set, by the section's name and its own, which is empty where there is but one."""


def default_file(root: Path) -> Path:
    """The configuration of the device whose root is ``root``."""
    return root / "conf" / "client.conf"


def load(root: Path, file: Path | None, sections: Sequence[AnySection]) -> Config:
    """The configuration in ``file``, or in the root's own."""
    root = root.absolute()
    file = (file or default_file(root)).absolute()
    return parse(read(file), sections, root, file)


def read(file: Path) -> str:
    """The text of ``file``; `ConfigError` says why there is none."""
    try:
        data = read_regular(file, _MAX_FILE_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{file}: does not exist; {MAKE_DEVICE}, or name another with --config FILE") from None
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


def parse(text: str, sections: Sequence[AnySection], root: Path, file: Path) -> Config:
    """What ``text``, the content of ``file``, says in ``sections``; pure, and relative paths hang from ``root``."""
    try:
        given, faults = _read_sections(text, sections)
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(
            f"{file}: line {error.lineno}: {error.line.strip()[:60]!r} stands before any section; "
            f"let the first setting follow a line [{sections[0].title(sections[0].example_name)}]"
        ) from None
    values: dict[str, dict[str, dict[str, object]]] = {}
    absent = _find_absent(given, sections)
    for section in sections:
        names = [name for kind, name in given if kind == section.name] if section.example_name else [""]
        if section in absent:
            names = []
        values[section.name] = {
            name: _convert(section, name, given.get((section.name, name), {}), text, root, faults) for name in names
        }
    if faults:
        raise ConfigError(f"{file}: {fault}" for fault in faults)
    made = {one.name: {name: one.make(**fields) for name, fields in values[one.name].items()} for one in sections}
    return Config(root, file, made)


def given(text: str, section: AnySection) -> frozenset[str]:
    """The fields of ``section`` that ``text`` sets, to whatever; none where it is not a configuration at all."""
    try:
        return frozenset(_read_sections(text, (section,))[0].get((section.name, ""), ()))
    except configparser.MissingSectionHeaderError:
        return frozenset()


def value_of(text: str, section: AnySection, field: str) -> str | None:
    """What ``text`` sets ``field`` of ``section`` to, as it stands there; None where it does not."""
    try:
        return _read_sections(text, (section,))[0].get((section.name, ""), {}).get(field)
    except configparser.MissingSectionHeaderError:
        return None


def names(text: str, section: AnySection) -> frozenset[str]:
    """What those of ``section`` are called that ``text`` has, in lower case."""
    try:
        return frozenset(name for kind, name in _read_sections(text, (section,))[0] if kind == section.name)
    except configparser.MissingSectionHeaderError:
        return frozenset()


def _find_absent(given: _Given, sections: Sequence[AnySection]) -> list[AnySection]:
    """The sections that another one of their group stands in for."""
    absent: list[AnySection] = []
    for group in {section.one_of for section in sections if section.one_of}:
        members = [section for section in sections if section.one_of == group]
        there = [one for one in members if _has_required(given.get((one.name, ""), {}), one)] or members[:1]
        absent += [one for one in members if one not in there]
    return absent


def _has_required(given: Mapping[str, str], section: AnySection) -> bool:
    return any(setting.required and setting.field in given for setting in section.settings)


def _convert(
    section: AnySection, name: str, given: Mapping[str, str], text: str, root: Path, faults: list[str]
) -> dict[str, object]:
    """The value of each field of the ``section`` called ``name``; what is wrong is added to ``faults``."""
    values: dict[str, object] = {}
    for setting in section.settings:
        label = f"[{section.title(name)}] {setting.name}"
        value = given.get(setting.field, setting.default)
        if value is None:
            values[setting.field] = None
            if setting.required:
                faults.append(f"{label}: {_why_missing(setting, text)}")
            continue
        try:
            values[setting.field] = setting.convert(_one_line(value), root)
        except ValueError as error:
            shown = "" if setting.is_secret else f"{value[:60]!r}: "
            faults.append(f"{label}: {shown}{error}")
    return values


def _read_sections(text: str, sections: Sequence[AnySection]) -> tuple[_Given, list[str]]:
    """What ``text`` sets, and what is wrong with the rest of it."""
    parser, faults = _scan(text, sections)
    values: _Given = {}
    for header in parser.sections():
        section = _find_section(header, sections)
        if section is None:
            known = {one.title(one.example_name) for one in sections}
            faults.append(f"[{header[:60]}]: unknown section{_suggest(header, known, '[{}]')}")
            continue
        name = " ".join(header.split()[1:]).lower() if section.example_name else ""
        if section.example_name and not _NAME.fullmatch(name):
            faults.append(
                f"[{header[:60]}]: needs one name, of letters, digits, - and _, 32 at most; write it like "
                f"[{section.title(section.example_name)}]"
            )
            continue
        title = section.title(name)
        if (section.name, name) in values:
            line = next(
                number for number, line in enumerate(text.split("\n"), 1) if line.strip().startswith(f"[{header}]")
            )
            faults.append(f"[{title}]: begins twice, again in line {line}; put its settings under one")
        fields = values.setdefault((section.name, name), {})
        known_settings = {setting.name.lower(): setting for setting in section.settings}
        for option, value in parser[header].items():
            if option in known_settings:
                fields[known_settings[option].field] = value
            else:
                faults.append(f"[{title}] {option[:60]}: unknown setting{_suggest_setting(option, section, sections)}")
    return values, [_printable(fault) for fault in faults]


def _find_section(header: str, sections: Iterable[AnySection]) -> AnySection | None:
    """The section that ``header`` begins. Where there are several, each has a name, and its kind is in any case."""
    kind = header.split()[:1]
    for section in sections:
        if header == section.name or (section.example_name and kind and kind[0].lower() == section.name.lower()):
            return section
    return None


def _scan(text: str, sections: Iterable[AnySection]) -> tuple[configparser.ConfigParser, list[str]]:
    faults: list[str] = []
    parser = _parser(strict=True)
    try:
        _read_lines(parser, text, faults)
    except configparser.DuplicateOptionError as error:
        spellings = {setting.name.lower(): setting.name for section in sections for setting in section.settings}
        name = spellings.get(error.option, error.option)
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
    command = f"{setting.command}, or " if setting.command else ""
    commented = re.search(rf"^[ \t]*[#;][ \t]*{setting.name}[ \t]*[=:]", text, re.MULTILINE | re.IGNORECASE)
    if commented:
        return f"is still commented out; {command}remove the # and write this device's own"
    return f"is missing; {command}write {setting.name} = {setting.example}, with this device's own value"


def _suggest_setting(name: str, section: AnySection, sections: Iterable[AnySection]) -> str:
    for other in sections:
        if any(setting.name.lower() == name for setting in other.settings):
            return f"; it belongs under [{other.title(other.example_name)}]"
    return _suggest(name, [setting.name for setting in section.settings], "{}")


def _suggest(name: str, names: Iterable[str], form: str) -> str:
    import difflib  # late: only a misspelt file takes it

    by_key = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_key, n=1)
    if close:
        return f"; did you mean {form.format(by_key[close[0]])}?"
    return f"; delete it, known are {', '.join(form.format(known) for known in sorted(by_key.values()))}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
