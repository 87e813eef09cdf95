"""The types of client.conf: a setting, a section of settings, and the configuration that was read.

A section's table is the one truth about it: parsing, the search for unknown names and the text of the file as
shipped all follow from it. A converter takes the text of a value and the root, and raises `ValueError` with what
is wrong and what to write.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from kegnet_client.core.errors import ConfigError

T = TypeVar("T")

MAKE_DEVICE = "run `kegnet-client enroll URL CODE` (at a hub) or `kegnet-client init --url URL`"

_MAX_DIGITS = 10
_WHOLE = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a section."""

    field: str
    """Its name in what the section makes."""
    name: str
    explanation: tuple[str, ...]
    convert: Callable[[str, Path], object]
    default: str | None = None
    example: str = ""
    """What the shipped file shows where there is no default."""
    required: bool = False
    command: str = ""
    """The command that sets it, for the message that it is missing: "run ..."."""
    is_secret: bool = False
    """Whether the value may hold a password: no message shows it."""

    @property
    def shipped_line(self) -> str:
        return f"#{self.name} = {self.default or self.example}"


@dataclass(frozen=True, slots=True)
class Section(Generic[T]):
    """A section, and the dataclass that takes its values: ``make`` gets each setting's field, None for no value.

    One with an ``example_name`` stands in the file as often as there are such things, each time with a name of its
    own: ``[FlowMeter tap1]``. Of those that are ``one_of`` the same things at least one is there: each that has a
    required setting, and the first where none has. Any other is always there, if only with its defaults.
    """

    name: str
    make: Callable[..., T]
    settings: tuple[Setting, ...]
    example_name: str = ""
    one_of: str = ""

    def title(self, name: str) -> str:
        """What stands in brackets for the one called ``name``, which is empty where there is but one."""
        return f"{self.name} {name}" if name else self.name


@dataclass(frozen=True, slots=True)
class Config:
    """What client.conf says, judged and with every path absolute."""

    root: Path
    file: Path
    values: Mapping[str, Mapping[str, object]]
    """What each section made, by the section's name and then by its own, which is empty where there is but one."""

    def section(self, section: Section[T]) -> T:
        """What ``section`` says, of which there is one. Raises `ConfigError` where it is absent, as others may do."""
        found = self.find(section)
        if found is None:
            required = " and ".join(setting.name for setting in section.settings if setting.required)
            command = next((f": {setting.command}" for setting in section.settings if setting.command), "")
            raise ConfigError(f"{self.file}: [{section.name}] has no {required}, which this takes{command}")
        return found

    def find(self, section: Section[T]) -> T | None:
        """What ``section`` says, of which there is one; None where it is absent because another one will do."""
        return cast(T | None, self.values[section.name].get(""))

    def sections(self, section: Section[T]) -> dict[str, T]:
        """What each of the sections of this kind says, by its name in lower case, in the file's order."""
        return cast(dict[str, T], dict(self.values[section.name]))


AnySection = Section[Any]


def to_path(text: str, root: Path) -> Path:
    """A path, relative to the root."""
    return root / text


def to_seconds(most: int) -> Callable[[str, Path], int]:
    """The converter for a whole number of seconds, 1 to ``most``."""

    def convert(text: str, _root: Path) -> int:
        if not _WHOLE.fullmatch(text) or int(text) > most:
            raise ValueError(f"is not a number of seconds; write a whole number from 1 to {most}, digits only")
        return int(text)

    return convert


def to_whole(least: int, most: int) -> Callable[[str, Path], int]:
    """The converter for a whole number, ``least`` to ``most``; none is below 0."""

    def convert(text: str, _root: Path) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS) or not least <= int(text) <= most:
            raise ValueError(f"is not a number that can be here; write a whole number from {least} to {most}")
        return int(text)

    return convert
