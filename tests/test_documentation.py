"""What is written about the program is true of it: the manual pages, the help, the README's recipes.

The commands and their options are taken from what ``--help`` prints, all the way down.
"""

import contextlib
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kegnet_client.cli import make_parser
from kegnet_client.commands.configuration import SECTIONS
from kegnet_client.config.settings import Setting
from kegnet_client.core import errors, records
from kegnet_client.core.wire import answer as wire_answer
from kegnet_client.core.wire import batch
from kegnet_client.core.wire.answer import Answer
from kegnet_client.host import log
from kegnet_client.host.crash import EXIT_CRASHED

from .support.pages import CHECKOUT, COMMANDS_PAGES, README, SERVICE, fits, named, plain, recipe, typed, usages

PAGES = ("kegnet-client.8", "kegnet-client.conf.5", "kegnet-spool.5", "kegnet-hub.8", "kegnet-runner.8")
COMMON = {"--help", "--version", "--root", "--config", "--dir"}
"""What stands in the page once, not with every command."""


PARSER = make_parser()
"""One for all of the commands: the program makes its parser anew for each call."""


def help_of(*command: str) -> str:
    """What ``kegnet-client COMMAND --help`` prints on a terminal of 80 columns."""
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "80"
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            PARSER.parse_args([*command, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return printed.getvalue()


def find_commands(*command: str) -> dict[tuple[str, ...], tuple[set[str], set[str]]]:
    """``command`` and all below it, each with the names of its own commands and of its options."""
    text = help_of(*command)
    options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.MULTILINE))
    choices = re.search(r"^  {(.*)}", text, re.MULTILINE)  # of an argument, which says no more to --help
    if choices:
        names = choices[1].split(",")
        return {command: (set(names), options)} | {(*command, name): (set[str](), options) for name in names}
    names = re.findall(r"^    ([a-z-]+)(?: |$)", text, re.MULTILINE)
    found = {command: (set(names), options)}
    for name in names:
        if command and name == "help":  # it is the same everywhere
            continue
        found |= find_commands(*command, name)
    return found


COMMANDS = find_commands()
ENDS = sorted(command for command, (names, _) in COMMANDS.items() if not names)


def entry(text: str, start: str) -> str:
    """The entry of ``text`` that begins with ``start``, on one line."""
    entries = [" ".join(part.split()) for part in re.split(r"^\.(?:TP|S[HS].*)\n", text, flags=re.MULTILINE)]
    found = [part for part in entries if re.match(rf"{re.escape(start)}(?![\w-])", part)]
    assert len(found) == 1, f"{start} has {len(found)} entries"
    return found[0]


def test_the_commands_are_found() -> None:
    assert {("run",), ("rejected", "retry"), ("hub", "devices", "add")} <= set(ENDS)


@pytest.mark.parametrize("command", ENDS, ids=" ".join)
def test_the_manual_page_has_every_command_with_its_options(command: tuple[str, ...]) -> None:
    described = entry("\n".join(map(plain, COMMANDS_PAGES)), " ".join(command))
    assert [option for option in COMMANDS[command][1] - COMMON if not re.search(rf"{option}\b", described)] == []


@pytest.mark.parametrize("command", ENDS, ids=" ".join)
def test_the_manual_page_shows_a_call_that_the_program_takes_and_that_can_be_read(command: tuple[str, ...]) -> None:
    name = " ".join(command)
    shown = [usage for usage in usages() if re.match(rf"{re.escape(name)}(?![\w-])", usage)]
    assert [usage for usage in shown if set(re.findall(r"--[a-z-]+", usage)) - COMMANDS[command][1]] == []
    assert [one for one in shown if one.count("[") + one.count("{") != one.count("]") + one.count("}")] == []


def test_a_call_fits_what_the_page_says_of_it_or_not() -> None:
    usage = "hub invite [--name NAME|--names FILE] [--csv] {URL CODE|--boot} WORD ..."
    assert fits(usage, "hub invite --names FILE --csv URL CODE WORD WORD")
    assert fits(usage, "hub invite --boot WORD")
    assert not fits(usage, "hub invite --name NAME --names FILE --boot WORD")
    assert not fits(usage, "hub invite URL WORD")
    assert not fits(usage, "hub invite --boot")


@pytest.mark.parametrize("line", sorted({*typed(README), *named(README)}))
def test_a_command_of_the_readme_is_one_that_the_program_takes(line: str) -> None:
    _, program, call = line.rpartition("kegnet-client ")
    words = list(itertools.takewhile(lambda word: re.fullmatch(r"[a-z-]+", word), call.split()))
    command = next((found for end in range(len(words), 0, -1) if (found := tuple(words[:end])) in COMMANDS), ())
    assert command or not program or call.startswith("&& "), f"{words} is no command"
    assert not command or set(re.findall(r" (--[a-z-]+)", call)) <= COMMANDS[command][1] | COMMON


def test_the_manual_page_has_the_options_of_all_commands() -> None:
    page = plain("kegnet-client.8")
    assert {option for option in COMMON if option not in page} == set()


@pytest.mark.parametrize(
    ("title", "setting"),
    [(section.title(section.example_name), setting) for section in SECTIONS for setting in section.settings],
    ids=lambda part: part.name if isinstance(part, Setting) else part,
)
def test_the_manual_page_has_every_setting_with_its_default_and_bounds(title: str, setting: Setting) -> None:
    sections = re.split(r"^\.SH (.*)$", plain("kegnet-client.conf.5"), flags=re.MULTILINE)
    section = sections[sections.index(f"SECTION [{title}]") + 1]
    described = entry(section, f"{setting.name} =")
    bounds = re.findall(r"[0-9]+ to [0-9]+", " ".join(setting.explanation))
    assert [bound for bound in bounds if bound not in described] == []
    assert ("Required." in described) == setting.required
    assert ("Default:" in described) == (setting.default is not None)
    if setting.default is not None:
        assert re.search(rf"Default: {re.escape(setting.default)} ?\.", described)


def exit_codes() -> set[int]:
    """Those of the program's errors."""
    return {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.KegnetError) and error is not errors.KegnetError
    }


def test_the_manual_page_has_every_exit_code_and_message_id() -> None:
    page = plain("kegnet-client.8")
    status = page[page.index(".SH EXIT STATUS") : page.index(".SH ENVIRONMENT")]
    assert exit_codes() | {EXIT_CRASHED} <= {
        int(code) for code in re.findall(r"^\.TP\n([0-9]+)$", status, re.MULTILINE)
    }
    assert [value for name, value in vars(log).items() if name.endswith("_ID") and value not in page] == []


@pytest.mark.parametrize(("version", "other"), [("REST v3", "REST v1 and v2"), ("REST v1 and v2", "REST v3")])
def test_the_manual_page_says_what_becomes_of_one_record_at_each_status(version: str, other: str) -> None:
    page = plain("kegnet-spool.5")
    answers = page[page.index(".SH ANSWERS") : page.index(".SH SEE ALSO")]
    said: dict[str, str] = {}
    for heading, meaning in re.findall(r"^\.TP\n(.*)\n([A-Z][a-z]+): ", answers, re.MULTILINE):
        parts = [part for part in heading.split("; ") if other not in part]
        said |= dict.fromkeys(re.findall(r"\b[0-9][0-9x]{2}\b|redirects", " ".join(parts)), meaning)
    words = {
        "accepted": "Acknowledged",
        "rejected": "Rejected",
        "deferred": "Deferred",
        "misconfigured": "Misconfigured",
    }
    for status in [200, *range(300, 600)]:
        answer = Answer(
            status, {"content-type": "application/json"}, b'{"request": "d", "accepted": 1, "rejected": []}'
        )
        judged = batch.judge(answer, "d", ["x"], "", 0)[0] if version == "REST v3" else wire_answer.judge(answer, "", 0)
        kind = "redirects" if 300 <= status < 400 else f"{status // 100}xx"
        assert words[judged.disposition.value] == said.get(str(status), said[kind]), status


@pytest.mark.parametrize("page", PAGES)
def test_a_manual_page_is_shown_without_a_warning(page: str) -> None:
    if shutil.which("man") is None:
        pytest.skip("takes man (Debian: man-db)")
    command = ["man", "--warnings=w", "-l", str(SERVICE / page)]
    environment = {**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""


def test_the_help_has_every_exit_code() -> None:
    text = help_of()
    told = " ".join(text[text.lower().index("exit codes: ") :].partition("\n\n")[0].split())
    assert exit_codes() | {EXIT_CRASHED} <= {int(code) for code in re.findall(r"(?:: |; )([0-9]+) ", told)}


def test_the_help_leads_to_the_commands_of_the_hub() -> None:
    (line,) = (line for line in help_of().splitlines() if line.startswith("    hub "))
    assert line.endswith("hub --help")


def test_the_help_fits_a_terminal_and_gives_an_example() -> None:
    text = help_of()
    assert [line for line in text.splitlines() if len(line) > 80] == []
    examples = re.findall(r"^  (?:sudo )?kegnet-client ([a-z-]+)", text[text.index("example") :], re.MULTILINE)
    assert examples
    assert set(examples) <= COMMANDS[()][0]


def the_only_pour(spool: Path) -> records.Record:
    (path,) = spool.iterdir()
    return records.parse(path.name, path.read_bytes())


def test_the_recipe_in_shell_leaves_one_pour(tmp_path: Path) -> None:
    subprocess.run(["sh", "-c", recipe()], cwd=tmp_path, check=True)
    assert isinstance(the_only_pour(tmp_path), records.Pour)


def test_the_recipe_used_again_replaces_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run(["sh", "-c", recipe()], cwd=tmp_path, check=True)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_recipe_in_python_leaves_one_pour(tmp_path: Path) -> None:
    (spool := tmp_path / "spool").mkdir()
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert isinstance(the_only_pour(spool), records.Pour)


def test_the_recipe_stands_in_the_manual_page_and_in_the_spool_too() -> None:
    assert recipe() in plain("kegnet-spool.5")
    assert recipe() in (CHECKOUT / "spool" / "README").read_text()
