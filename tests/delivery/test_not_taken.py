"""What cannot be taken stays where it is, what is no record or is refused is kept with its reason, and neither holds up
the others."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kegnet_client.core.retry_policy import LinkState
from kegnet_client.spool.directory import Spool, SpoolFile
from kegnet_client.spool.rejected import retry
from kegnet_client.spool.scan import Scanner

from .rig import ACCEPTED, NO_ROUTE, REFUSED, Rig, always, line, messages, script


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{directory}/{path.name}")
    os.close(directory)


def make_link(path: Path) -> None:
    (path.parent / "target").write_bytes(line(7))
    path.symlink_to("target")


def make_directory(path: Path) -> None:
    path.mkdir()


class TestStuck:
    @pytest.mark.parametrize("running", [False, True])
    @pytest.mark.parametrize("make", [make_fifo, make_socket, make_link, make_directory])
    def test_what_is_not_a_regular_file_stays_with_one_warning_and_blocks_nobody(
        self, rig: Rig, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None], running: bool
    ) -> None:
        if running:
            rig.start()
        make(rig.spool.path / "odd.tmp")
        (rig.spool.path / "odd.tmp").rename(rig.spool.path / "odd.pour")
        rig.put("x.pour", line(1))
        if not running:
            rig.start()
        rig.idle()
        rig.pass_time(60)
        rig.pass_time(60)

        assert rig.numbers() == [1]
        remedy = "not a regular file; a record is one, so remove it or rename it"
        assert rig.progress.stuck == {"odd.pour": remedy}
        assert messages(caplog) == [f"odd.pour stays where it is: {remedy}"]
        assert rig.spool.has("odd.pour")

    def test_it_is_forgotten_when_it_is_gone_and_taken_when_it_became_a_record(self, rig: Rig) -> None:
        for name in ("gone.pour", "fixed.pour"):
            (rig.spool.path / name).mkdir()
        rig.start()
        rig.idle()
        assert set(rig.progress.stuck) == {"gone.pour", "fixed.pour"}
        for name in ("gone.pour", "fixed.pour"):
            (rig.spool.path / name).rmdir()
        rig.put("fixed.pour", line(1))
        rig.idle()
        assert set(rig.progress.stuck) == {"gone.pour"}
        rig.pass_time(60)

        assert rig.progress.stuck == {}
        assert rig.numbers() == [1]

    def test_an_unreadable_file_stays_until_it_can_be_read(self, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
        rig.put("closed.pour", line(1), age_s=100)
        (rig.spool.path / "closed.pour").chmod(0)
        rig.put("x.pour", line(2))
        rig.spool.path.chmod(0o777)
        if root := os.geteuid() == 0:
            (rig.spool.path / "x.pour").chmod(0o644)
            os.seteuid(65534)
        try:
            rig.start()
            rig.idle()
            assert rig.numbers() == [2]
            remedy = (
                "cannot be read; give it to the group of the spool (chgrp) and make it readable for that (chmod g+r)"
            )
            assert rig.progress.stuck == {"closed.pour": remedy}
            assert f"closed.pour stays where it is: {remedy}" in messages(caplog)
            if root:
                os.seteuid(0)
            (rig.spool.path / "closed.pour").chmod(0o644)
            rig.pass_time(60)
        finally:
            if root:
                os.seteuid(0)

        assert rig.numbers() == [2, 1]
        assert rig.progress.stuck == {}


def test_what_is_stuck_does_not_pile_up_while_the_server_is_away(tmp_path: Path) -> None:
    looks: list[str] = []

    class Counting(Spool):
        def read(self, name: str) -> SpoolFile:
            looks.append(name)
            return super().read(name)

    spool = Counting(tmp_path / "spool")
    (spool.path / "odd.pour").mkdir()
    rig = Rig(spool)
    rig.answer = always(NO_ROUTE)
    rig.put("x.pour", line(1))
    rig.start()
    rig.wait_for_tries(1)
    for _ in range(40):
        rig.pass_time_waiting(60)
    rig.answer = always(ACCEPTED)
    looks.clear()
    rig.clock.now_s += 300
    rig.uploader.nudge()
    rig.idle()
    rig.stop()
    assert rig.numbers() == [1]
    assert looks.count("odd.pour") <= 2


class TestRejection:
    MALFORMED = (
        b"0,1,2",
        b"0,1,2,1800000000000,4",
        b"pin,1,2,1800000000000",
        b"0,1_000,2,1800000000000",
        "0,٣,2,1800000000000".encode(),
        b"0,007,2,1800000000000",
        b"0,+5,2,1800000000000",
        b"0,-5,2,1800000000000",
        b" 0,5,2,1800000000000",
        b"0,5,2,1800000000000 ",
        b"0,5.0,2,1800000000000",
        b"256,5,2,1800000000000",
        b"0,0,2,1800000000000",
        b"0,2147483648,2,1800000000000",
        b"0,5,86400001,1800000000000",
        b"0,5,2,0",
        b"0,5,2,17",
        b"0,5,2,9999999999999999",
        b"0,5,2,1800000000000\0",
        b"\0" * 24,
        b"0,5,2,1800000000000\r\n",
        b"0,5,2,1800000000000\n0,5,2,1800000000000\n",
        b"\n",
        b"\xff\xfe0,5,2",
        b"x" * 4096,
    )

    def test_every_malformed_file_is_kept_byte_for_byte_with_its_reason_and_the_next_proceeds(self, rig: Rig) -> None:
        for number, data in enumerate(self.MALFORMED):
            rig.put(f"{number:02}.pour", data, age_s=1000 - number)
        rig.put("98.reading", b"28-0316a2795c5b,4.5,1800000000000\n", age_s=900)
        rig.put("99.pour", line(1), age_s=10)
        rig.start()
        rig.idle()

        assert rig.tried() == [1]
        rejected = rig.rejected()
        assert sorted(rejected) == [*(f"{number:02}.pour" for number in range(len(self.MALFORMED))), "98.reading"]
        assert all(rejected.values())
        for number, data in enumerate(self.MALFORMED):
            assert (rig.spool.path / "rejected" / f"{number:02}.pour").read_bytes() == data
        assert rig.progress.rejected == len(rejected)
        assert rig.progress.link is LinkState.UP

    def test_a_file_of_any_size_is_rejected_unread(self, rig: Rig) -> None:
        rig.put("huge.pour", b"")
        os.truncate(rig.spool.path / "huge.pour", 1 << 40)
        rig.start()
        rig.idle()

        assert rig.rejected() == {"huge.pour": "the file has 1099511627776 bytes, a record fits in 4096"}

    def test_what_the_server_refuses_is_kept_with_what_it_said(self, rig: Rig) -> None:
        rig.answer = script(REFUSED, ACCEPTED)
        rig.put("a.pour", line(1), age_s=2)
        rig.put("b.pour", line(2), age_s=1)
        rig.start()
        rig.idle()

        assert rig.numbers() == [2]
        assert rig.rejected() == {"a.pour": "the server answered 400"}

    def test_ten_in_a_row_are_the_servers_fault_and_the_rest_stays_and_takes_turns(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        rig.answer = always(REFUSED)
        for number in range(1, 14):
            rig.put(f"{number:02}.pour", line(number), age_s=100 - number)
        rig.start()
        rig.wait_for_tries(10)
        rig.look()
        assert list(rig.rejected()) == [f"{number:02}.pour" for number in range(1, 11)]
        rig.pass_time_waiting(299)
        assert rig.tried() == list(range(1, 11))
        for number in (11, 12, 13, 11):
            rig.pass_time_waiting(300)
            assert rig.tried()[-1] == number
        assert len(rig.tries) == 14
        assert len(rig.rejected()) == 10
        assert Scanner(rig.spool.fd, 10).finish().oldest == ["11.pour", "12.pour", "13.pour"]
        assert len([text for text in messages(caplog) if "rejected 10 records in a row" in text]) == 1

        rig.answer = always(ACCEPTED)
        rig.clock.now_s += 300
        rig.idle()
        assert sorted(rig.numbers()) == [11, 12, 13]
        rig.answer = script(REFUSED, ACCEPTED)
        rig.put("14.pour", line(14))
        rig.idle()
        assert len(rig.rejected()) == 11, "an acceptance has ended the doubt"

    def test_rejected_records_that_are_put_back_are_sent(self, rig: Rig) -> None:
        rig.answer = script(REFUSED, ACCEPTED)
        rig.put("x.pour", line(1))
        rig.start()
        rig.idle()
        retry(rig.spool.path, "x.pour")
        rig.idle()

        assert rig.numbers() == [1]
