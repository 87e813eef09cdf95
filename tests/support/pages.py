"""What a person reads: the README and the manual pages, and the commands that stand in them."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SERVICE = CHECKOUT / "service"
README = (CHECKOUT / "README.md").read_text()
COMMANDS_PAGES = ("kegnet-client.8", "kegnet-hub.8", "kegnet-runner.8")


def plain(page: str) -> str:
    """The text of a manual page, one line for each of the source's."""
    text = (SERVICE / page).read_text()
    text = re.sub(r"\\f.|\\[&|]", "", text).replace(r"\-", "-").replace(r"\&", "")
    return re.sub(r"^(\.[BIR]+) +(.*)$", lambda match: match[2].replace('"', ""), text, flags=re.MULTILINE)


def recipe() -> str:
    """The README's producer, for a shell."""
    lines = re.findall(r"^    (n=.*echo .* && mv .*)$", README, re.MULTILINE)
    assert len(lines) == 1
    return str(lines[0])


def section(title: str) -> str:
    """A section of the README, with those below it."""
    start = re.search(rf"^(#+) {re.escape(title)}\n", README, re.MULTILINE)
    assert start, f"the README has no {title!r}"
    end = re.search(rf"^#{{1,{len(start[1])}}} ", README[start.end() :], re.MULTILINE)
    return README[start.end() :][: end.start() if end else None]


def typed(text: str) -> list[str]:
    """The command lines in the indented blocks of ``text``, without the comments behind them."""
    lines = re.findall(r"^    (\S.*)$", text, re.MULTILINE)
    return [command for line in lines if (command := re.sub(r"(^| {2,})# .*", "", line).strip())]


def named(text: str) -> list[str]:
    """What stands in ``text`` as code between words."""
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]


def usages() -> list[str]:
    """How the manual pages say that each command is called."""
    found = re.findall(r"^\.TP\n(?!\.)([a-z].*)$", "\n".join(map(plain, COMMANDS_PAGES)), re.MULTILINE)
    return [" ".join(usage.split()) for usage in found]


def fits(usage: str, command: str) -> bool:
    """Whether ``command``, with the words of the page for what is the reader's own, is called as ``usage`` says."""
    return re.fullmatch(_pattern(usage), f" {command}") is not None


def _pattern(usage: str) -> str:
    """``send [--sink NAME] NAME ...`` as a regular expression for ``" send --sink NAME NAME"``."""
    signs = {"[": "(?:", "]": ")?", "{": "(?:", "}": ")", "|": "|"}
    pattern, last = "", ""
    for sign in re.findall(r"\.\.\.|[][{}|]|[^][{}|\s.]+(?:\.[^][{}|\s.]+)*", usage):
        if sign == "...":
            pattern = pattern.removesuffix(last) + (f"{last[:-1]}*" if last == ")?" else f"(?:{last})+")
            continue
        last = signs.get(sign, f" {re.escape(sign)}")
        pattern += last
    return pattern


def stands_on_a_page(command: str) -> bool:
    """Whether the README has ``command``, but for ``sudo`` and the program's name, or a manual page allows it."""
    bare = [re.sub(r"^(sudo )?(kegnet-client )?", "", line) for line in [*typed(README), *named(README)]]
    return command in bare or any(fits(usage, command) for usage in usages())
