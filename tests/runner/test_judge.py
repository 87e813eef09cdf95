"""Nothing runs that an operator's key has not signed for this device, now, newer than before: one test for each no."""

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from kegnet_client.core.errors import ConfigError, DocumentError
from kegnet_client.runner.judge import Admitted, Allowed, Judge
from kegnet_client.runner.sequences import FILE, Sequences
from kegnet_client.runner.statement import MAX_SIGNED_BYTES, signed_bytes
from kegnet_client.runner.trust import Trust

from ..support.operators import MAC_ID, Document, Operator, command, program

NOTHING = Allowed(network=False, spool=False, devices=frozenset(), gpio=frozenset(), memory_mib=128)
NAMES = frozenset({str(MAC_ID), "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"})
NOW_MS = 1_800_000_000_000

Admit = Callable[[Document], Admitted | None]


@pytest.fixture
def admit(trust: Trust, tmp_path: Path) -> Admit:
    """Judges as a device does that takes what it admits."""
    sequences = Sequences(tmp_path)
    judge = Judge(NAMES, trust, NOTHING, sequences)

    def admit(document: Document) -> Admitted | None:
        admitted = judge.admit(document, NOW_MS)
        if admitted is not None and not admitted.statement.command:
            statement = admitted.statement
            sequences.take(admitted.signer, statement.name, statement.sequence, statement.digest)
        return admitted

    return admit


def test_what_the_operator_signed_runs(admit: Admit, operator: Operator) -> None:
    admitted = admit(operator.sign(program()))
    assert admitted is not None
    assert (admitted.signer, admitted.statement.modules) == ("ann", {"main": "def main(): pass"})


@pytest.mark.parametrize("kind", [("-t", "ecdsa"), ("-t", "rsa", "-b", "2048")], ids=str)
def test_each_kind_of_key_signs(kind: tuple[str, ...], admit: Admit, trust: Trust, tmp_path: Path) -> None:
    other = Operator(tmp_path, "bob", *kind)
    trust.allowed.write_text(other.allowed_line())
    assert admit(other.sign(program())) is not None


def test_an_agent_signs(admit: Admit, operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", operator.key], check=True)
        (tmp_path / "only.pub").write_bytes(operator.public.read_bytes())
        by_agent = Operator.__new__(Operator)
        by_agent.key = tmp_path / "only.pub"
        assert admit(by_agent.sign(program())) is not None
    finally:
        agent.kill()
        agent.communicate()


def refuse(admit: Admit, document: Document, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        admit(document)


def test_the_unsigned_is_refused(admit: Admit) -> None:
    refuse(admit, program(), "not signed")


@pytest.mark.parametrize(
    "change",
    [
        {"code": "def main(): evil()"},
        {"sequence": 2},
        {"name": "other"},
        {"permissions": {"memory_mib": 100}},
        {"expires": "2100-01-01T00:00:00Z"},
        {"modules": {"more": ""}},
        {"unknown": 1},
        {"type": "3f2b8c1e-5d47-4a96-8e0b-7c1d2a9f6b54"},
    ],
    ids=str,
)
def test_the_altered_is_refused(admit: Admit, operator: Operator, change: dict[str, Any]) -> None:
    refuse(admit, operator.sign(program()) | change, "not one that this device allows")


@pytest.mark.parametrize("signature", ["x", "-----BEGIN SSH SIGNATURE-----\n", "\0"])
def test_a_signature_that_is_none_is_refused(admit: Admit, signature: str) -> None:
    refuse(admit, program(signature=signature), "not one that this device allows")


def test_what_the_database_adds_does_not_matter(admit: Admit, operator: Operator) -> None:
    assert admit(operator.sign(program()) | {"_rev": "7-x", "timestamp": "x", "created_by": "y", "_id": "other"})


def test_the_older_is_refused(admit: Admit, operator: Operator) -> None:
    old, new = operator.sign(program(1)), operator.sign(program(2))
    admit(old)
    admit(new)
    refuse(admit, old, "sequence 1 is not above 2")


def test_another_of_the_same_sequence_is_refused_and_the_same_is_not(admit: Admit, operator: Operator) -> None:
    admit(operator.sign(program()))
    assert admit(operator.sign(program())) is not None
    refuse(admit, operator.sign(program(code="other")), "sequence 1 is not above 1")


def test_the_highest_sequence_survives_a_restart_and_the_deletion(
    admit: Admit, operator: Operator, trust: Trust, tmp_path: Path
) -> None:
    document = operator.sign(program(5))
    admit(document)
    Sequences(tmp_path).close("ann", "tap")
    judge = Judge(NAMES, trust, NOTHING, Sequences(tmp_path))
    with pytest.raises(DocumentError, match="sequence 5 is not above 5"):
        judge.admit(document, NOW_MS)
    assert judge.admit(operator.sign(program(6)), NOW_MS) is not None


def test_sequences_that_cannot_be_read_are_not_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[[")
    with pytest.raises(ConfigError, match="an old program could come back"):
        Sequences(tmp_path)


def test_the_sequences_of_names_and_signers_are_apart(
    admit: Admit, operator: Operator, stranger: Operator, trust: Trust
) -> None:
    trust.allowed.write_text(operator.allowed_line() + stranger.allowed_line())
    admit(operator.sign(program(9)))
    assert admit(operator.sign(program(1, name="other"))) is not None
    assert admit(stranger.sign(program(1))) is not None


def test_the_expired_is_refused(admit: Admit, operator: Operator) -> None:
    refuse(admit, operator.sign(program(expires="2027-01-15T07:59:59Z")), "has expired")
    refuse(admit, operator.sign(command("id", expires="2020-01-01T00:00:00+01:00")), "has expired")


def test_another_devices_is_none_of_ours(admit: Admit, operator: Operator) -> None:
    assert admit(operator.sign(program(type=MAC_ID + 1))) is None
    assert admit(operator.sign(program(type="module", targets=["00000000-0000-4000-8000-000000000000"]))) is None


def test_a_document_readdressed_to_this_device_is_refused(admit: Admit, operator: Operator) -> None:
    refuse(admit, operator.sign(program(type=MAC_ID + 1)) | {"type": MAC_ID}, "not one that this device allows")


def test_a_strangers_signature_is_refused(admit: Admit, stranger: Operator) -> None:
    refuse(admit, stranger.sign(program()), "not one that this device allows")


def test_a_signature_for_another_purpose_is_refused(admit: Admit, operator: Operator) -> None:
    words = ["ssh-keygen", "-Y", "sign", "-q", "-f", str(operator.key), "-n", "git"]
    done = subprocess.run(words, input=signed_bytes(program()), capture_output=True, check=True)
    refuse(admit, program(signature=done.stdout.decode()), "not one that this device allows")


@pytest.mark.parametrize("options", ['namespaces="git"', 'valid-before="20200101"', 'valid-after="20990101"'])
def test_a_signer_who_may_not_or_not_now_is_refused(
    admit: Admit, operator: Operator, trust: Trust, options: str
) -> None:
    trust.allowed.write_text(operator.allowed_line(options))
    refuse(admit, operator.sign(program()), "not one that this device allows")


def test_a_signer_within_its_validity_is_taken(admit: Admit, operator: Operator, trust: Trust) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y%m%d")
    trust.allowed.write_text(operator.allowed_line(f'namespaces="kegnet-module",valid-before="{tomorrow}"'))
    assert admit(operator.sign(program())) is not None


def test_a_revoked_key_is_refused(admit: Admit, operator: Operator, trust: Trust) -> None:
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", trust.revoked, operator.public], check=True)
    refuse(admit, operator.sign(program()), "not one that this device allows")


def test_the_revocation_of_another_key_changes_nothing(
    admit: Admit, operator: Operator, stranger: Operator, trust: Trust
) -> None:
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", trust.revoked, stranger.public], check=True)
    assert admit(operator.sign(program())) is not None


def test_a_revocation_list_that_cannot_be_read_refuses_everybody(
    admit: Admit, operator: Operator, trust: Trust
) -> None:
    trust.revoked.symlink_to("/nowhere")
    refuse(admit, operator.sign(program()), "not one that this device allows")


def test_without_the_file_nobody_may_sign(admit: Admit, operator: Operator, trust: Trust) -> None:
    trust.allowed.unlink()
    refuse(admit, operator.sign(program()), "nobody may sign")


@pytest.mark.parametrize(
    ("permissions", "setting"),
    [
        ({"network": True}, "allowNetwork"),
        ({"spool": True}, "allowSpool"),
        ({"devices": ["/dev/ttyUSB0"]}, "allowDevices"),
        ({"gpio": ["/dev/gpiochip0:17"]}, "the line /dev/gpiochip0:17, .* allowGpio"),
        ({"memory_mib": 129}, "mostMemory"),
    ],
)
def test_who_asks_for_more_than_the_device_allows_is_refused(
    admit: Admit, operator: Operator, permissions: dict[str, Any], setting: str
) -> None:
    refuse(admit, operator.sign(program(permissions=permissions)), setting)


def test_a_list_of_signers_is_another_one_when_its_rights_change_or_it_is_put_back_with_its_old_date(
    trust: Trust,
) -> None:
    before = trust.version()
    trust.allowed.chmod(0o600)
    changed = trust.version()
    assert changed != before
    status, text = trust.allowed.stat(), trust.allowed.read_text()
    trust.allowed.write_text(text.swapcase())
    os.utime(trust.allowed, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert trust.version() != changed


def test_a_document_without_a_timestamp_or_with_its_type_as_text_is_taken(admit: Admit, operator: Operator) -> None:
    assert admit(operator.sign(program(type=str(MAC_ID)))) is not None
    assert admit(operator.sign(program(2) | {"timestamp": "Sun, 08 Nov 2015 10:00:00 GMT"})) is not None


# --- what costs time ----------------------------------------------------------------------------------------------


@pytest.fixture
def canonicalised(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What canonical JSON was made of."""
    made: list[object] = []

    def dumps(value: object) -> bytes:
        made.append(value)
        return b"{}"

    monkeypatch.setattr(rfc8785, "dumps", dumps)
    return made


def test_no_canonical_form_is_made_of_what_is_not_for_this_device_or_by_nobody_known(
    admit: Admit, operator: Operator, stranger: Operator, canonicalised: list[object]
) -> None:
    other = operator.sign(program(type=MAC_ID + 1))
    strange = stranger.sign(program())
    canonicalised.clear()
    assert admit(other) is None
    assert admit({**other, "signature": None}) is None
    refuse(admit, strange, "not one that this device allows")
    refuse(admit, program(signature="-----BEGIN SSH SIGNATURE-----\n"), "not one that this device allows")
    refuse(admit, program(signature=7), "not signed")
    assert canonicalised == []


def test_no_canonical_form_is_made_of_what_is_too_long_for_any_document(
    admit: Admit, operator: Operator, canonicalised: list[object]
) -> None:
    signature = operator.sign(program())["signature"]
    canonicalised.clear()
    refuse(admit, program(signature=signature, code="x" * MAX_SIGNED_BYTES), "the most is 1048576")
    refuse(admit, program(signature=signature, ballast=[0] * MAX_SIGNED_BYTES), "the most is 1048576")
    assert canonicalised == []
