"""Which warnings of the catalogue hold now. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import (
    approved_routes,
    exit_node_of,
    lost_lans,
    offers,
    serves_exit,
)
from appliance.agent.routefacts import own_lan_holding, subnets_of
from appliance.gateway.profile import Setting
from appliance.health.catalogue import HealthWarning, warn
from appliance.localapi.types import RouteStatus
from appliance.netmap.model import short_name
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import Node, is_set
from appliance.underlay.config import Direct, Path

EXPIRY_NOTICE: Final = timedelta(days=14)
"""A holiday's length: the owner should be able to renew before leaving."""


@dataclass(frozen=True, slots=True)
class HealthFacts:
    """What warnings follow from, besides the plans' inputs."""

    failure: str = ""
    control_problem: str = ""
    relay_problem: str = ""
    routes: tuple[RouteStatus, ...] = ()
    exit_ipv6: str = ""
    paths: Mapping[NodePublic, Path] = field(default_factory=dict)
    settings: tuple[Setting, ...] = ()
    """Of the host profile."""
    rooms: tuple[HealthWarning, ...] = ()
    """What rooms report themselves."""


def plan_warnings(facts: HealthFacts, inputs: Inputs | None) -> tuple[HealthWarning, ...]:
    """Return the whole set; without inputs there is no netmap yet."""
    found = list(_of_connection(facts))
    if inputs is not None:
        found += _of_node(inputs)
        found += _of_exit_use(facts, inputs)
        found += _of_own_routes(facts, inputs)
        found += _of_peers_routes(facts, inputs)
    found += _of_profile(facts.settings)
    found += facts.rooms
    return tuple(dict.fromkeys(found))


def _of_connection(facts: HealthFacts) -> Iterator[HealthWarning]:
    if facts.failure:
        yield warn("agent-failed", text=facts.failure)
    if facts.control_problem and facts.control_problem != facts.failure:
        yield warn("coordinator-unreachable", text=facts.control_problem)
    if facts.relay_problem:
        yield warn("relay-unreachable", text=facts.relay_problem)


def _of_node(inputs: Inputs) -> Iterator[HealthWarning]:
    for text in inputs.netmap.health:
        yield warn("coordinator-says", text, text=text)
    expiry = inputs.netmap.self_node.key_expiry
    if expiry is not None and is_set(expiry) and expiry - inputs.now < EXPIRY_NOTICE:
        yield warn("key-expires-soon", date=f"{expiry:%Y-%m-%d}")


def _of_exit_use(facts: HealthFacts, inputs: Inputs) -> Iterator[HealthWarning]:
    wanted = inputs.prefs.exit_node
    chosen = exit_node_of(inputs.netmap, wanted)
    if not wanted:
        return
    if chosen is None:
        yield warn("exit-node-missing", name=repr(wanted))
    elif not chosen.online:
        yield warn("exit-node-offline", name=short_name(chosen))
    elif facts.exit_ipv6 == "no":
        yield warn("exit-node-no-ipv6", name=short_name(chosen))


def _of_own_routes(facts: HealthFacts, inputs: Inputs) -> Iterator[HealthWarning]:
    renumbered = _renumbered(inputs)
    fresh = {new for new, _ in renumbered}
    node = short_name(inputs.netmap.self_node)
    for new, old in renumbered:
        yield warn("lan-renumbered", str(new), new=new, old=old, node=node)
    moved = {old for _, old in renumbered}
    for lan in lost_lans(inputs.prefs, inputs.around, inputs.memory) - moved:
        yield warn("route-withdrawn", str(lan), prefix=lan, reason="no interface is in it")
    found = offers(inputs.prefs, inputs.around, inputs.memory)
    if inputs.prefs.auto_routes and not any(offer.found for offer in found):
        yield warn("no-networks")
    for offer in found:
        if offer.lost:
            yield warn("route-withdrawn", str(offer.prefix), prefix=offer.prefix, reason=offer.lost)
    for route in facts.routes:
        if not route.router and route.prefix not in {str(prefix) for prefix in fresh}:
            yield from _of_own_route(route, node)
    if serves_exit(inputs) and not inputs.around.network.has_internet(6):
        yield warn("exit-home-no-ipv6")


def _of_own_route(route: RouteStatus, node: str) -> Iterator[HealthWarning]:
    if route.advertised.ok and not route.approved.ok:
        yield warn("route-not-approved", route.prefix, prefix=route.prefix, node=node)
    elif route.approved.ok and not route.serving.ok and "stands by" not in route.serving.evidence:
        reason = route.serving.evidence.rstrip(".")
        if "not been looked at" not in reason:
            yield warn("route-not-served", route.prefix, prefix=route.prefix, reason=reason)


def _renumbered(inputs: Inputs) -> list[tuple[IPNetwork, IPNetwork]]:
    """Return pairs of new and old LAN of the same family, while the new one waits."""
    approved = approved_routes(inputs)
    lost = sorted(map(str, lost_lans(inputs.prefs, inputs.around, inputs.memory)))
    waiting = [
        offer.prefix
        for offer in offers(inputs.prefs, inputs.around, inputs.memory)
        if offer.found and offer.prefix not in approved
    ]
    gone = {str(n): n for n in lost_lans(inputs.prefs, inputs.around, inputs.memory)}
    pairs = []
    for new in waiting:
        old = next((gone[text] for text in lost if gone[text].version == new.version), None)
        if old is not None:
            lost.remove(str(old))
            pairs.append((new, old))
    return pairs


def _of_peers_routes(facts: HealthFacts, inputs: Inputs) -> Iterator[HealthWarning]:
    if not inputs.prefs.accept_routes:
        return
    for peer in inputs.netmap.peers.values():
        for prefix in subnets_of(peer):
            own = own_lan_holding(inputs, prefix)
            if own is not None and _is_elsewhere(peer, own, facts.paths):
                yield warn(
                    "same-numbers",
                    f"{peer.stable_id} {prefix}",
                    router=short_name(peer),
                    prefix=prefix,
                )


def _is_elsewhere(peer: Node, own: IPNetwork, paths: Mapping[NodePublic, Path]) -> bool:
    """Whether the peer is surely not in our LAN: it is reached directly, from outside of it."""
    path = paths.get(peer.key)
    return isinstance(path, Direct) and path.address.ip not in own


def _of_profile(settings: Iterable[Setting]) -> Iterator[HealthWarning]:
    for setting in settings:
        if not setting.is_fine and setting.essential:
            yield warn(
                "profile-wrong",
                setting.name,
                name=setting.name,
                present=setting.present,
                wanted=setting.wanted,
                why=setting.why,
                fix=setting.fix,
            )
