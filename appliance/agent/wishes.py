"""Whether what the owner asks for can be granted; what cannot is a ``BackendError``."""

from typing import Any, Final

from appliance.agent.machine import resolve
from appliance.agent.routechecks import refuse_routes
from appliance.controlclient.config import ControlUrl
from appliance.controlclient.errors import ControlError
from appliance.host.network import NetworkState
from appliance.localapi.server import BackendError
from appliance.localapi.types import Prefs
from appliance.netmap.model import NetworkMap
from appliance.netmap.prefs import PrefsError, edit
from appliance.protocol.addresses import IPAddress

MAX_RELAYS: Final = 16
"""Relays that are looked up before a subnet is advertised; a household has one or two."""


def edited(prefs: Prefs, changes: dict[str, Any]) -> Prefs:
    """Return prefs with some fields changed."""
    try:
        return edit(prefs, changes)
    except PrefsError as error:
        raise BackendError(error.status.code, str(error)) from None


def checked_url(text: str) -> ControlUrl:
    """Return a coordinator's URL."""
    try:
        return ControlUrl.parse(text)
    except ControlError as error:
        raise BackendError(error.status.code, str(error)) from None


async def check_routes(prefs: Prefs, netmap: NetworkMap | None, network: NetworkState) -> None:
    """Refuse named subnets that would lead traffic of the mesh itself through this node."""
    routes = prefs.fixed_routes()
    if not routes or not prefs.control_url:
        return
    coordinator = await resolve(checked_url(prefs.control_url).host)
    try:
        refuse_routes(routes, coordinator, await _relays(netmap), network)
    except PrefsError as error:
        raise BackendError(error.status.code, str(error)) from None


async def _relays(netmap: NetworkMap | None) -> dict[str, frozenset[IPAddress]]:
    """Look up the addresses of our relays, as far as they are known."""
    regions = (netmap.derp_map.regions if netmap else None) or {}
    nodes = [node for region in regions.values() if region for node in region.nodes or ()]
    return {node.host_name: await resolve(node.host_name) for node in nodes[:MAX_RELAYS]}
