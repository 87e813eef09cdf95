"""A Kegboard's way to the local events, which is another process: tells of flows and tokens, hears what to do.

The board counts for itself, whether anybody listens or not: what cannot be told is left out, and the connection is
made again when the board says its next hello. Nothing here waits.
"""

import logging
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from kegnet_client.core.errors import RecordError
from kegnet_client.core.wire.local_events import (
    ALL_METERS,
    ControllerConnectedEvent,
    DrinkCreatedEvent,
    FlowRequest,
    FlowUpdate,
    PassedOn,
    SetRelayOutputEvent,
    Splitter,
    TokenAuthEvent,
    format_tcp,
    parse_any,
    split_meter,
    split_relay,
)
from kegnet_client.host.atomic_file import open_directory
from kegnet_client.host.clock import Clock
from kegnet_client.host.condition import Condition
from kegnet_client.host.root import DEFAULT_ROOT
from kegnet_client.producers.flow_teller import FlowTeller
from kegnet_client.producers.total_meters import TotalMeters

_NAME = "boards.sock"
_MAX_READ_BYTES = 65536
_DEVICES = {"onewire": "core.onewire"}
"""What Kegbot calls where a token is held, where it calls it other than a board does."""

log = logging.getLogger(__name__)


def find_socket(root: Path) -> Path:
    """Where local events listen to Kegboards."""
    return (Path("/run/kegnet-local-events") if root == DEFAULT_ROOT else root / ".state") / _NAME


class BoardLink:
    """The way of the board called ``board`` to ``path``; its meter ``flow0`` is the pin ``first_pin``.

    For one thread.
    """

    def __init__(self, path: Path, board: str, first_pin: int, clock: Clock) -> None:
        self._path = path
        self._board = board
        self._first_pin = first_pin
        self._teller = FlowTeller(self._say, clock)
        self.create_drink = self._teller.create_drink
        self._connection: socket.socket | None = None
        self._splitter = Splitter()
        self._bad = Condition(log)

    @property
    def waits_for(self) -> list[socket.socket]:
        """What can be read from when there is something to do."""
        return [] if self._connection is None else [self._connection]

    def connect(self) -> None:
        """Connect, if somebody listens and it is not done yet."""
        if self._connection is not None:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            with open_directory(self._path.parent) as fd:
                connection.connect(f"/proc/self/fd/{fd}/{self._path.name}")
        except OSError:  # local events are not for everybody
            connection.close()
            return
        log.info("%s: local events hear of this board", self._board)
        self._connection, self._splitter = connection, Splitter()
        self._say(ControllerConnectedEvent(self._board))

    def tell_token(self, device: str, token_value: str, *, is_there: bool) -> None:
        """A token came to ``device`` or went."""
        status = "added" if is_there else "removed"
        self._say(TokenAuthEvent(ALL_METERS, _DEVICES.get(device, device), token_value, status))

    def tell_flows(self, meters: TotalMeters) -> None:
        """Tell what is new at ``meters``."""
        if self._connection is not None:
            self._teller.look(meters, self._names(meters))

    def take(self) -> Iterator[FlowRequest | SetRelayOutputEvent]:
        """What this board is to do: to stop a flow, or to switch a relay."""
        while self._connection is not None:
            try:
                data = self._connection.recv(_MAX_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close()
                return
            for message in self._splitter.feed(data):
                if message is not None and (event := self._read(message)) is not None:
                    yield event

    def close(self) -> None:
        """Have nobody hear of this board any more."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, message: bytes) -> FlowRequest | SetRelayOutputEvent | None:
        """What ``message`` says, if it is for this board."""
        try:
            match event := parse_any(message):
                case FlowRequest(meter_name, "stop_flow") if split_meter(meter_name)[0] == self._board:
                    return event
                case SetRelayOutputEvent(output_name, _) if split_relay(output_name)[0] == self._board:
                    return event
        except RecordError as error:
            self._bad.begin(str(error), f"{self._board}: a bad message of local events is left out: {error}")
        return None

    def _say(self, event: FlowUpdate | DrinkCreatedEvent | PassedOn) -> None:
        if self._connection is None:
            return
        message = format_tcp(event)
        try:
            is_said = self._connection.send(message) == len(message)
        except OSError:  # it has ended, or hangs
            is_said = False
        if not is_said:
            self.close()

    def _names(self, meters: TotalMeters) -> Mapping[int, str]:
        return {pin: f"{self._board}.flow{pin - self._first_pin}" for pin in meters.pins if pin >= self._first_pin}
