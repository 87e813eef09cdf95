"""The text of client.conf, and of hub.conf: as shipped, and with settings filled in. Pure."""

import re
from collections.abc import Iterable, Mapping

from kegnet_client.config.settings import AnySection, Setting

_SECTION_LINE = re.compile(r"\[(.+)\]")
_SETTING_LINE = re.compile(r"\s*([^#;=:\s][^=:]*?)\s*[=:]")

DEVICE_HEAD = """\
# The settings of this device. Only uuid and serviceBaseURL have to be set: `kegnet-client enroll` or `init` does it.
#
# A line that starts with # is a comment. All else stands here with its default: to change a setting,
# remove the # before it and write another value. `kegnet-client check` says whether all is well.
#
# Paths that do not start with / hang from /usr/share/kegnet-client, or from what --root or KEGNET_ROOT says."""


def render(sections: Iterable[AnySection], head: str = DEVICE_HEAD) -> str:
    """The file as shipped: every setting commented, with its default written out, under the comment ``head``."""
    blocks = [head]
    for section in sections:
        # A section with a name is there only for who has such a thing.
        blocks.append(f"{'#' if section.example_name else ''}[{section.title(section.example_name)}]")
        blocks += [
            "\n".join([*(f"# {line}" for line in one.explanation), one.shipped_line]) for one in section.settings
        ]
    return "\n\n".join(blocks) + "\n"


def fill(text: str, section: AnySection, values: Mapping[str, str]) -> str:
    """``text`` with the fields in ``values`` set in ``section``, of which there is one; all else as it was.

    A setting takes the place of its line as shipped; where that is gone, it comes first in its section.
    """
    lines = text.split("\n")
    for setting in section.settings:
        if setting.field in values:
            _set(lines, section.name, setting, values[setting.field])
    return "\n".join(lines)


def clear(text: str, section: AnySection, fields: Iterable[str]) -> str:
    """``text`` with each line of ``section`` that sets one of ``fields`` as it is shipped, commented."""
    named = {one.name.lower(): one for one in section.settings if one.field in fields}
    lines = text.split("\n")
    inside = False
    for number, line in enumerate(lines):
        if header := _SECTION_LINE.match(line):
            inside = header[1] == section.name
        found = _SETTING_LINE.match(line)
        if inside and found is not None and (setting := named.get(found[1].lower())) is not None:
            lines[number] = setting.shipped_line
    return "\n".join(lines)


def _set(lines: list[str], section: str, setting: Setting, value: str) -> None:
    headers = {number: match[1] for number, line in enumerate(lines) if (match := _SECTION_LINE.match(line))}
    start = next((number for number, header in headers.items() if header == section), None)
    if start is None:
        lines += [f"[{section}]", f"{setting.name} = {value}", ""]
        return
    end = min((number for number in headers if number > start), default=len(lines))
    new = f"{setting.name} = {value}" + ("\r" if lines[start].endswith("\r") else "")
    shipped = (number for number in range(start, end) if lines[number].rstrip() == setting.shipped_line)
    if (number := next(shipped, None)) is not None:
        lines[number] = new
    else:
        lines.insert(start + 1, new)
