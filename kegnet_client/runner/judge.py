"""Which documents may run on this device: one place that says yes, and a reason for each no.

Order: whether the document is for this device, whether a key that is known here made its signature, what it says, when
it ends, who signed these very bytes, what it asks for, and whether it is newer than all that its signer sent under its
name. Nothing of it is unpacked before that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kegnet_client.core.errors import DocumentError
from kegnet_client.runner.sequences import Sequences
from kegnet_client.runner.statement import (
    Permissions,
    Statement,
    is_for,
    read_signature,
    read_statement,
    read_targets,
)
from kegnet_client.runner.trust import Trust


@dataclass(frozen=True, slots=True)
class Allowed:
    """What this device's configuration lets programs ask for."""

    network: bool
    spool: bool
    devices: frozenset[str]
    gpio: frozenset[str]
    memory_mib: int

    def refusal(self, asked: Permissions) -> str | None:
        """What is too much in ``asked``."""
        if asked.network and not self.network:
            return "it asks for the network, which [Runner] allowNetwork does not give here"
        if asked.spool and not self.spool:
            return "it asks for the spool, which [Runner] allowSpool does not give here"
        if more := sorted(set(asked.devices) - self.devices):
            return f"it asks for {more[0]}, which [Runner] allowDevices does not give here"
        if more := sorted(set(asked.gpio) - self.gpio):
            return f"it asks for the line {more[0]}, which [Runner] allowGpio does not give here"
        if asked.memory_mib > self.memory_mib:
            return f"it asks for {asked.memory_mib} MiB, [Runner] mostMemory is {self.memory_mib}"
        return None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A statement that may run here, and the principal who signed it."""

    statement: Statement
    signer: str


class Judge:
    """The device of these ``names``."""

    def __init__(self, names: frozenset[str], trust: Trust, allowed: Allowed, sequences: Sequences) -> None:
        self._names = names
        self._trust = trust
        self._allowed = allowed
        self._sequences = sequences

    def admit(self, document: Mapping[str, Any], now_ms: int) -> Admitted | None:
        """The ``document`` that the database has; None if it is another device's. Raises `DocumentError`.

        That it is the very one that was admitted last is no reason to refuse it: what is known already, the caller
        sees by the digest.
        """
        if not is_for(read_targets(document), self._names):
            return None
        # Before its canonical form is made, which takes time: anybody who may write there may send much.
        self._trust.check_key(read_signature(document))
        statement = read_statement(document)
        admitted = self.admit_again(statement, now_ms)
        if not statement.command and (
            problem := self._sequences.refusal(admitted.signer, statement.name, statement.sequence, statement.digest)
        ):
            raise DocumentError(problem)
        return admitted

    def admit_again(self, statement: Statement, now_ms: int) -> Admitted:
        """A statement that is here already: whether it may go on. Raises `DocumentError`."""
        if statement.expires_ms is not None and now_ms >= statement.expires_ms:
            raise DocumentError("it has expired")
        signer = self._trust.find_signer(statement.signed, statement.signature)
        if problem := self._allowed.refusal(statement.permissions):
            raise DocumentError(problem)
        return Admitted(statement, signer)
