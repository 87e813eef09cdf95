"""The spool's directory: one instance has it, and one that is gone is made anew."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from kegnet_client.core.errors import SpoolError, SpoolInUseError
from kegnet_client.spool.directory import Spool, count_waiting, enqueue
from kegnet_client.spool.scan import Scanner

from ..support.descriptors import open_descriptors
from ..support.spool_files import POUR, names, put


class TestOneInstance:
    def test_a_second_instance_is_told_to_stop_the_first_which_goes_on(self, spool: Spool) -> None:
        enqueue(spool.path, POUR)
        for _ in range(2):  # the first one's lock is not lost by the attempt
            with closing(Spool(spool.path)) as second, pytest.raises(SpoolInUseError, match="systemctl stop"):
                second.lock()

        [name] = Scanner(spool.fd, 10).finish().oldest
        assert spool.remove(spool.read(name))

    def test_the_lock_leaves_nothing_among_the_records(self, spool: Spool) -> None:
        assert names(spool) == []

    def test_the_next_one_gets_the_spool_when_the_first_is_done(self, tmp_path: Path) -> None:
        with closing(Spool(tmp_path)) as first:
            first.lock()
        with closing(Spool(tmp_path)) as second:
            second.lock()

    def test_a_producer_needs_no_lock(self, spool: Spool) -> None:
        enqueue(spool.path, POUR)
        assert count_waiting(spool.path) == 1


class TestReplacement:
    def test_the_same_directory_is_kept(self, spool: Spool) -> None:
        fd = spool.fd
        assert not spool.reopen_if_replaced()
        assert spool.fd == fd

    @pytest.mark.parametrize("recreate", [False, True])
    @pytest.mark.parametrize("delete", [False, True])
    def test_a_directory_that_was_moved_or_deleted_is_made_anew_and_locked(
        self, spool: Spool, delete: bool, recreate: bool
    ) -> None:
        put(spool, "old.pour")
        if delete:
            shutil.rmtree(spool.path)
        else:
            spool.path.rename(spool.path.with_name("moved"))
        if recreate:
            spool.path.mkdir()

        assert spool.reopen_if_replaced()
        assert not spool.reopen_if_replaced()
        assert Scanner(spool.fd, 10).finish().oldest == []
        put(spool, "new.pour")
        assert Scanner(spool.fd, 10).finish().oldest == ["new.pour"]
        with closing(Spool(spool.path)) as second, pytest.raises(SpoolInUseError):
            second.lock()

    def test_a_new_directory_that_another_instance_has_leaves_this_one_its_old(self, spool: Spool) -> None:
        put(spool, "old.pour")
        spool.path.rename(spool.path.with_name("moved"))
        with closing(Spool(spool.path)) as other:
            other.lock()
            with pytest.raises(SpoolInUseError):
                spool.reopen_if_replaced()
            assert Scanner(spool.fd, 10).finish().oldest == ["old.pour"]
        assert spool.reopen_if_replaced()

    def test_what_is_no_directory_leaves_this_one_its_old(self, spool: Spool) -> None:
        put(spool, "old.pour")
        spool.path.rename(spool.path.with_name("moved"))
        spool.path.touch()

        with pytest.raises(SpoolError, match=r"spool: .*; fix|spool: File exists"):
            spool.reopen_if_replaced()
        assert Scanner(spool.fd, 10).finish().oldest == ["old.pour"]

    def test_no_descriptor_is_lost_in_it(self, spool: Spool) -> None:
        before = len(open_descriptors(below=spool.path))
        for _ in range(20):
            shutil.rmtree(spool.path)
            assert spool.reopen_if_replaced()
            with closing(Spool(spool.path)) as second, pytest.raises(SpoolInUseError):
                second.lock()
        shutil.rmtree(spool.path)
        with closing(Spool(spool.path)) as other:
            other.lock()
            for _ in range(20):
                with pytest.raises(SpoolInUseError):
                    spool.reopen_if_replaced()
        assert len(open_descriptors(below=spool.path)) == before

    def test_a_place_where_none_can_be_made_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SpoolError, match=r"Not a directory; fix \[Spool\] directory in client.conf"):
            Spool(tmp_path / "file" / "spool")
