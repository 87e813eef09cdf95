"""The output of programs is taken in bounded pieces."""

from kegnet_client.runner.process import LINES_AT_ONCE, MAX_LINE_BYTES, MAX_RESULT_BYTES, Capture, LineLog


def test_lines_are_told_as_they_come_and_made_printable() -> None:
    said: list[str] = []
    lines = LineLog(said.append)
    lines.feed(b"on")
    lines.feed(b"e\r\ntw\x1b[2Jo\n\xff")
    lines.end()
    assert said == ["one", r"tw\x1b[2Jo", "\ufffd"]


def test_a_flood_of_lines_is_cut_and_that_is_told() -> None:
    said: list[str] = []
    lines = LineLog(said.append)
    lines.feed(b"x\n" * 10_000)
    lines.end()
    assert LINES_AT_ONCE <= len(said) < 2 * LINES_AT_ONCE
    assert "lines were dropped" in said[-1]


def test_a_line_without_an_end_is_told_in_pieces() -> None:
    said: list[str] = []
    LineLog(said.append).feed(b"x" * 3 * MAX_LINE_BYTES)
    assert [len(line) for line in said] == [MAX_LINE_BYTES]


def test_a_result_has_its_bound_and_says_what_is_missing() -> None:
    capture = Capture()
    for _ in range(3):
        capture.feed(b"x" * MAX_RESULT_BYTES)
    assert capture.text() == "x" * MAX_RESULT_BYTES + f"\n({2 * MAX_RESULT_BYTES} more bytes)\n"
