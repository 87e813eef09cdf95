"""The device that knows an operator."""

from pathlib import Path

import pytest

from kegnet_client.runner.trust import Trust

from ..support.operators import Operator


@pytest.fixture
def trust(tmp_path: Path, operator: Operator) -> Trust:
    """The files of a device that knows the operator."""
    (tmp_path / "conf").mkdir()
    trust = Trust(tmp_path / "conf/allowed_signers", tmp_path / "conf/revoked_signers")
    trust.allowed.write_text(operator.allowed_line())
    return trust
