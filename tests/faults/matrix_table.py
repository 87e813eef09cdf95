"""The fault matrix as a table, which ``--faults-table`` shows: the cases of ``matrix.toml``, and what became of
their tests."""

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest


class Table:
    """What became of each case's tests."""

    def __init__(self) -> None:
        self._cases = tomllib.loads(Path(__file__).with_name("matrix.toml").read_text())["case"]
        self._outcomes: dict[int, list[str]] = defaultdict(list)
        self._took_s: dict[int, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, number in report.user_properties:
            if name != "case":
                continue
            assert isinstance(number, int)
            self._took_s[number] += report.duration
            if report.when == "call" or report.outcome != "passed":
                self._outcomes[number].append("known bug" if hasattr(report, "wasxfail") else report.outcome)

    def verdict(self, number: int) -> str:
        """In one word: pass, or the worst that happened."""
        outcomes = self._outcomes[number]
        for worst, word in (("failed", "FAIL"), ("known bug", "KNOWN BUG"), ("passed", "pass"), ("skipped", "skip")):
            if worst in outcomes:
                return word
        return "MISSING"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if any(self.verdict(case["number"]) == "MISSING" for case in self._cases):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("fault matrix")
        group = ""
        colours = {"pass": {"green": True}, "skip": {"yellow": True}}
        for case in self._cases:
            number = case["number"]
            if case["group"] != group:
                group = case["group"]
                terminalreporter.write_line(group, bold=True)
            verdict = self.verdict(number)
            tests = f"{self._outcomes[number].count('passed')}/{len(self._outcomes[number])}"
            line = (
                f"{number:3} {verdict:9} {tests:>7} {self._took_s[number]:6.1f} s  {case['fault']}: {case['expected']}"
            )
            terminalreporter.write_line(line, **colours.get(verdict, {"red": True}))
