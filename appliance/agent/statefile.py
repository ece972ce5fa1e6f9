"""What the agent keeps on disk: keys and prefs, and apart from them the last netmap.

Both files are private and replaced as a whole. ``state.json`` is small and precious, a damaged one
stops the agent with a sentence; ``netmap.json`` is a cache, a damaged one is forgotten.
"""

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from appliance.agent.errors import AgentError
from appliance.agent.plan.inputs import RouteMemory
from appliance.exit_status import ExitStatus
from appliance.host.errors import FileProblemError
from appliance.host.files import make_private_directory, read_bounded, write_atomic
from appliance.netmap.model import NetworkMap
from appliance.netmap.prefs import Prefs
from appliance.netmap.session import apply_response, to_response
from appliance.protocol.addresses import parse_network
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import (
    DiscoPrivate,
    DiscoPublic,
    MachinePrivate,
    NodePrivate,
    NodePublic,
)
from appliance.protocol.tailcfg import MapResponse, decode, encode

_log = logging.getLogger(__name__)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but the netmap; keys are texts here and never leave this module as such."""

    machine_key: str
    node_key: str
    disco_key: str
    logged_in: bool = False
    """The coordinator has admitted the node key."""
    prefs: Prefs = Prefs()
    proxy_ports: dict[str, int] = {}
    """Which loopback port stands for which peer's relay path."""
    peer_disco_keys: dict[str, str] = {}
    held_routes: tuple[str, ...] = ()
    """Named subnets that were attached once, see ``RouteMemory``."""
    served_lans: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "<State [private]>"

    @property
    def machine(self) -> MachinePrivate:
        """The device's key."""
        return MachinePrivate.parse(self.machine_key)

    @property
    def node(self) -> NodePrivate:
        """The node's key."""
        return NodePrivate.parse(self.node_key)

    @property
    def disco(self) -> DiscoPrivate:
        """The node's DISCO key."""
        return DiscoPrivate.parse(self.disco_key)

    def ports(self) -> dict[NodePublic, int]:
        """Return the proxies' ports by peer."""
        return {NodePublic.parse(key): port for key, port in self.proxy_ports.items()}

    def route_memory(self) -> RouteMemory:
        """Return what this node's own routes were."""
        return RouteMemory(
            held=frozenset(parse_network(text) for text in self.held_routes),
            served=frozenset(parse_network(text) for text in self.served_lans),
        )

    def disco_keys(self) -> dict[NodePublic, DiscoPublic]:
        """Return the peers' last known DISCO keys."""
        return {
            NodePublic.parse(key): DiscoPublic.parse(disco)
            for key, disco in self.peer_disco_keys.items()
        }


class StateStore:
    """The two files in the agent's state directory."""

    def __init__(self, directory: Path, randomness: Callable[[int], bytes] = os.urandom) -> None:
        self._directory = directory
        self._randomness = randomness
        self._state_path = directory / "state.json"
        self._netmap_path = directory / "netmap.json"

    def load(self) -> State:
        """Return the state, a new one with fresh keys where there is none."""
        try:
            make_private_directory(self._directory)
            data = read_bounded(self._state_path)
        except FileProblemError as error:
            raise AgentError(str(error), ExitStatus.STATE_UNUSABLE) from None
        if data is None:
            state = self._fresh()
            self.save(state)
            return state
        try:
            state = msgspec.json.decode(data, type=State)
            _ = (state.machine, state.node, state.disco, state.ports(), state.disco_keys())
            state.route_memory()
        except (msgspec.DecodeError, UnicodeDecodeError, ProtocolError):
            raise AgentError(
                f"{self._state_path} is damaged. Move it away and log in again, or restore it.",
                ExitStatus.STATE_UNUSABLE,
            ) from None
        return state

    def save(self, state: State) -> None:
        """Replace the state on disk."""
        data = json.dumps(msgspec.to_builtins(state), indent=2).encode()
        try:
            write_atomic(self._state_path, data)
        except FileProblemError as error:
            raise AgentError(str(error), ExitStatus.STATE_UNUSABLE) from None

    def new_node_key(self) -> NodePrivate:
        """Make a key to log in with."""
        return NodePrivate.from_seed(self._randomness(32))

    def load_netmap(self) -> NetworkMap | None:
        """Return the last netmap, if there is one that can be read."""
        try:
            data = read_bounded(self._netmap_path)
            if data is None:
                return None
            return apply_response(None, decode(MapResponse, data), datetime.now(UTC))
        except (FileProblemError, ProtocolError) as error:
            _log.warning("The netmap of the last run cannot be used (%s); waiting for one.", error)
            return None

    def save_netmap(self, netmap: NetworkMap | None) -> None:
        """Replace the netmap on disk, or remove it; failing to is not fatal."""
        try:
            if netmap is None:
                self._netmap_path.unlink(missing_ok=True)
            else:
                write_atomic(self._netmap_path, encode(to_response(netmap)))
        except (FileProblemError, OSError) as error:
            _log.warning("The netmap cannot be kept for the next start: %s", error)

    def _fresh(self) -> State:
        def text(kind: Any) -> str:
            return str(kind.from_seed(self._randomness(32)).text())

        return State(
            machine_key=text(MachinePrivate),
            node_key=text(NodePrivate),
            disco_key=text(DiscoPrivate),
        )
