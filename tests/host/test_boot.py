"""How one boot of this machine is told from another, also by a service that does not see the kernel's number."""

from pathlib import Path

import pytest

from kegnet_client.host.boot import BOOT_ID, HANDED_OVER, boot_mark, read_boot_id

DEVICE = "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"
UNIT = Path(__file__).parents[2] / "service" / "kegnet-client.service"


@pytest.mark.case(147)
def test_a_service_that_does_not_see_the_kernels_number_has_the_same_one_from_systemd(tmp_path: Path) -> None:
    by_systemd = {HANDED_OVER: read_boot_id().replace("-", "")}
    assert read_boot_id(tmp_path / "none", by_systemd) == read_boot_id(BOOT_ID, {})
    assert boot_mark(DEVICE, tmp_path / "none", by_systemd) == boot_mark(DEVICE, BOOT_ID, {}) is not None


@pytest.mark.parametrize("environ", [{}, {HANDED_OVER: ""}, {HANDED_OVER: "%b"}])
def test_where_nobody_tells_it_that_is_an_error_of_the_system(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError):
        read_boot_id(tmp_path / "none", environ)
    assert boot_mark(DEVICE, tmp_path / "none", environ) is None


@pytest.mark.case(147)
def test_the_unit_that_hides_it_hands_it_over() -> None:
    lines = UNIT.read_text("utf-8").splitlines()
    assert "ProcSubset=pid" in lines
    assert f"Environment={HANDED_OVER}=%b" in lines
