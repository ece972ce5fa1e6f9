"""Why can I not reach X? Walks the layers in order, from what was asked and answered. Pure.

Layer    What it asks
name     Does a node have this name or address, or a subnet of a node hold it?
policy   May this node go there? A node sees only its own, inbound filter, so at a client this is
         concluded from what comes back; at the router the filter itself is asked.
key      Have the keys of both nodes not expired?
online   Are both connected to the coordinator?
path     Does the peer answer DISCO, directly or by relay?
route    Is the subnet advertised, approved, accepted and in use?
nat      Does the router forward and translate?
lan      Does the host itself answer, when the router does?
clock    Does this machine's clock agree with the coordinator's?
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from appliance.agent.doctor.machine import check_clock
from appliance.agent.doctor.policy import who_may_reach
from appliance.agent.plan.inputs import Inputs
from appliance.agent.probes import addresses_inside
from appliance.agent.routefacts import EXIT
from appliance.gateway.profile import Setting
from appliance.host.probe import Answer, Outcome
from appliance.localapi.types import CheckItem, RouteStatus
from appliance.netmap.model import is_expired, short_name
from appliance.protocol.addresses import IPAddress, IPNetwork
from appliance.protocol.tailcfg import Node, is_set
from appliance.underlay.config import Direct, PingResult


class Kind(Enum):
    """What a target turned out to be."""

    PEER = "peer"
    """A node of the mesh."""
    LAN = "lan"
    """A host behind a subnet router."""
    INTERNET = "internet"
    """A host that the exit node in use leads to."""
    OWN_LAN = "own lan"
    """A host in a network that this node carries for others."""
    ATTACHED = "attached"
    """A host in a network that this node is in, and does not carry."""
    NOTHING = "nothing"
    """Nobody knows it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached."""

    text: str
    kind: Kind
    address: IPAddress | None = None
    router: Node | None = None
    """The peer itself, or the router or exit node on the way."""
    prefix: IPNetwork | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was asked and answered."""

    target: Target
    inputs: Inputs
    connected: bool
    """The tunnel is up."""
    control_online: bool
    ping: PingResult | None = None
    answers: Mapping[IPAddress, Answer] = field(default_factory=dict)
    """Through the tunnel, or in our own LAN: the target, the router, other hosts there."""
    route: RouteStatus | None = None
    settings: tuple[Setting, ...] = ()
    clock_offset: timedelta | None = None

    @property
    def answered(self) -> bool:
        """Whether the target itself answered."""
        address = self.target.address
        return address is not None and _outcome(self, address) is Outcome.ANSWERED


def walk(seen: Evidence) -> tuple[CheckItem, ...]:
    """Return one check a layer, in order; after a target that nobody knows there is no more."""
    items = [_name(seen)]
    if not items[0].is_broken:
        walks = (_policy, _key, _online, _path, _route, _nat, _lan)
        items += [item for look in walks for item in look(seen)]
    items.append(check_clock(seen.clock_offset))
    return _in_doubt_of_the_clock(items)


def _in_doubt_of_the_clock(items: list[CheckItem]) -> tuple[CheckItem, ...]:
    """Judge no key while the clock is wrong."""
    if not items[-1].is_broken:
        return tuple(items)
    return tuple(
        _item("key", "unknown", "Keys cannot be judged while the clock is wrong.")
        if item.layer == "key" and item.is_broken
        else item
        for item in items
    )


def _item(layer: str, state: str, evidence: str, fix: str = "") -> CheckItem:
    return CheckItem(layer=layer, name=layer, state=state, evidence=evidence, fix=fix)


def _name(seen: Evidence) -> CheckItem:
    target = seen.target
    match target.kind:
        case Kind.NOTHING:
            return _item(
                "name",
                "wrong",
                f"No node is called {target.text!r}, and no subnet of a node holds it.",
                "`latchkey status` lists the nodes, `latchkey routes` the subnets.",
            )
        case Kind.PEER:
            return _item("name", "ok", f"{target.text} is the node {_router(seen)}.")
        case Kind.LAN:
            return _item("name", "ok", f"{target.address} is behind {_router(seen)}.")
        case Kind.INTERNET:
            return _item("name", "ok", f"{target.address} is beyond the exit node {_router(seen)}.")
        case Kind.OWN_LAN:
            return _item("name", "ok", f"{target.address} is in {target.prefix}, carried by us.")
        case Kind.ATTACHED:
            text = f"{target.address} is in {target.prefix}, a network of this machine's own."
            return _item("name", "ok", text)


def _router(seen: Evidence) -> str:
    return short_name(seen.target.router) if seen.target.router is not None else "nobody"


def _policy(seen: Evidence) -> Iterator[CheckItem]:
    target = seen.target
    if target.kind is Kind.OWN_LAN and target.address is not None:
        yield _own_policy(seen, target.address)
    elif target.kind is Kind.ATTACHED:
        yield _item("policy", "ok", "The mesh's policy has no say in this machine's own networks.")
    elif seen.answered:
        yield _item("policy", "ok", f"{target.address} let an echo of this node's in.")
    elif _is_silenced(seen):
        me = short_name(seen.inputs.netmap.self_node)
        yield _item(
            "policy",
            "wrong",
            f"{_router(seen)} is reached, but nothing of this node's is let in: the policy does "
            "not allow it, or a firewall there drops it.",
            f"Let an admin check the policy; `latchkey doctor {me}` at {_router(seen)} shows what "
            "this node may reach there.",
        )
    elif _passed_filter(seen):
        yield _item("policy", "ok", f"{_router(seen)} lets this node into {target.prefix}.")
    else:
        yield _item("policy", "unknown", "The policy is enforced at the other end; see there.")


def _own_policy(seen: Evidence, address: IPAddress) -> CheckItem:
    if seen.inputs.prefs.shields_up:
        return _item(
            "policy",
            "wrong",
            "Shields are up, so no peer gets in.",
            "`latchkey set --no-shields-up`.",
        )
    allowed = who_may_reach(seen.inputs, address)
    if not allowed and seen.route is not None and not seen.route.approved.ok:
        return _item("policy", "unknown", "No rule can name it before its route is approved.")
    if not allowed:
        return _item(
            "policy",
            "wrong",
            f"The policy lets no peer reach {address}.",
            "Let an admin add a rule with this destination.",
        )
    return _item("policy", "ok", f"May reach {address}: {'; '.join(allowed)}.")


def _is_silenced(seen: Evidence) -> bool:
    """Whether the other node is alive and reached, and yet no packet of ours is answered."""
    if seen.ping is None or seen.target.kind not in (Kind.PEER, Kind.LAN):
        return False
    if seen.target.kind is Kind.LAN and (seen.route is None or not seen.route.serving.ok):
        return False
    prefix = seen.target.prefix
    heard = [
        answer.outcome
        for address, answer in seen.answers.items()
        if prefix is None or address in prefix
    ]
    return bool(heard) and all(outcome is Outcome.SILENT for outcome in heard)


def _passed_filter(seen: Evidence) -> bool:
    """Whether anything into the subnet was answered: by a host, or by the router for it."""
    prefix = seen.target.prefix
    return prefix is not None and any(
        answer.outcome in (Outcome.ANSWERED, Outcome.UNREACHABLE)
        for address, answer in seen.answers.items()
        if address in prefix
    )


def _key(seen: Evidence) -> Iterator[CheckItem]:
    inputs, router = seen.inputs, seen.target.router
    me = inputs.netmap.self_node
    if is_expired(me, inputs.now):
        yield _item(
            "key",
            "wrong",
            "This node's key has expired.",
            "`latchkey up --force-reauth` logs in again.",
        )
    elif router is not None and is_expired(router, inputs.now):
        yield _item(
            "key",
            "wrong",
            f"The key of {_router(seen)} has expired.",
            "Log in there again, or let an admin extend it.",
        )
    else:
        until = me.key_expiry
        text = f"until {until:%Y-%m-%d}" if until is not None and is_set(until) else "for ever"
        yield _item("key", "ok", f"This node's key is good {text}.")


def _online(seen: Evidence) -> Iterator[CheckItem]:
    router = seen.target.router
    if not seen.connected:
        yield _item("online", "wrong", "This node is not connected.", "Connect with `latchkey up`.")
    elif router is not None and not router.online and seen.ping is None:
        yield _item(
            "online",
            "wrong",
            f"{_router(seen)} is offline.",
            "Switch it on, or see there whether it has a network.",
        )
    elif not seen.control_online and seen.ping is None and seen.target.kind is not Kind.ATTACHED:
        yield _item(
            "online",
            "unknown",
            "The coordinator is not connected, so this may be out of date.",
        )
    else:
        yield _item("online", "ok", "Both nodes are connected." if router else "Connected.")


def _path(seen: Evidence) -> Iterator[CheckItem]:
    if seen.target.router is None:
        yield _item("path", "ok", "No peer is on the way.")
    elif seen.ping is None:
        if not seen.connected:
            yield _item("path", "unknown", "Nothing can be tried while not connected.")
            return
        yield _item(
            "path",
            "wrong",
            f"{_router(seen)} does not answer, neither directly nor by relay.",
            "`latchkey netcheck` here and there says what the networks let through.",
        )
    else:
        way = seen.ping.path
        text = f"directly at {way.address}" if isinstance(way, Direct) else "by relay"
        yield _item("path", "ok", f"{_router(seen)} answers {text} in {_ms(seen.ping.latency_s)}.")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _route(seen: Evidence) -> Iterator[CheckItem]:
    route, target = seen.route, seen.target
    if target.kind is Kind.PEER:
        yield _item("route", "ok", "A node itself needs no route.")
        return
    if target.kind is Kind.ATTACHED:
        yield _item("route", "ok", f"{target.prefix} is attached; the own LAN goes first.")
        return
    if route is None:
        yield _item("route", "unknown", "Its facts are not known.")
        return
    for name in ("advertised", "approved", "serving"):
        fact = route.facts[name]
        if not fact.ok:
            yield _item("route", "wrong", f"Not {name}: {fact.evidence}", _route_fix(seen, name))
            return
    yield _item("route", "ok", f"{route.prefix} is advertised, approved and in use.")


def _route_fix(seen: Evidence, name: str) -> str:
    me = short_name(seen.inputs.netmap.self_node)
    if name == "approved":
        prefix = seen.target.prefix or EXIT
        return f"`latchkey admin routes approve {me} {prefix}` on the coordinator."
    if seen.target.kind is Kind.LAN and not seen.inputs.prefs.accept_routes:
        return "`latchkey set --accept-routes` on this node."
    return "`latchkey routes` shows the whole; see the machine named there."


def _nat(seen: Evidence) -> Iterator[CheckItem]:
    target = seen.target
    if target.kind in (Kind.PEER, Kind.ATTACHED):
        yield _item("nat", "ok", "Nothing is forwarded.")
    elif target.kind is Kind.OWN_LAN:
        yield _own_nat(seen)
    elif _forwarded(seen):
        yield _item("nat", "ok", f"{_router(seen)} forwards, and what it forwards finds back.")
    elif _router_alone_answers(seen):
        yield _item(
            "nat",
            "wrong",
            f"{_router(seen)} answers in that LAN for itself, but nothing behind it comes back: "
            "it does not forward, or does not translate, or that LAN's router knows no way back.",
            f"`latchkey doctor` at {_router(seen)}; without SNAT the LAN's gateway needs a route "
            f"to the mesh through {_router(seen)}.",
        )
    else:
        yield _item("nat", "unknown", "It is done at the other end; see `latchkey doctor` there.")


def _own_nat(seen: Evidence) -> CheckItem:
    wrong = [one for one in seen.settings if one.essential and not one.is_fine]
    if wrong:
        one = wrong[0]
        return _item("nat", "wrong", f"{one.name} is {one.present}. {one.why}", one.fix)
    if seen.inputs.prefs.snat_subnet_routes:
        return _item("nat", "ok", "Hosts see this machine's address, so their answers come back.")
    return _item(
        "nat",
        "ok",
        "SNAT is off: hosts see peers' own addresses, so their gateway needs a route to "
        "100.64.0.0/10 through this machine.",
    )


def _forwarded(seen: Evidence) -> bool:
    """Whether a host behind the router answered, or the router looked for one in vain."""
    own = set(_router_addresses(seen))
    return any(
        answer.outcome is Outcome.UNREACHABLE
        or (answer.outcome is Outcome.ANSWERED and address not in own)
        for address, answer in seen.answers.items()
    )


def _router_alone_answers(seen: Evidence) -> bool:
    prefix, router = seen.target.prefix, seen.target.router
    if prefix is None or router is None:
        return False
    inside = addresses_inside(router, prefix)
    return any(_outcome(seen, address) is Outcome.ANSWERED for address in inside)


def _router_addresses(seen: Evidence) -> tuple[IPAddress, ...]:
    router, prefix = seen.target.router, seen.target.prefix
    if router is None:
        return ()
    mesh = tuple(network.network_address for network in router.addresses or ())
    return mesh + (addresses_inside(router, prefix) if prefix is not None else ())


def _lan(seen: Evidence) -> Iterator[CheckItem]:
    target = seen.target
    if target.address is None:
        return
    outcome = _outcome(seen, target.address)
    if outcome is Outcome.ANSWERED:
        yield _item("lan", "ok", f"{target.address} answers.")
    elif target.kind is Kind.PEER:
        yield _item("lan", "unknown", f"{_router(seen)} does not answer an echo.")
    elif outcome is Outcome.UNREACHABLE:
        yield _item(
            "lan",
            "wrong",
            f"The router looked for {target.address} in its LAN, and nobody is there.",
            "Switch it on, or look up its present address.",
        )
    elif target.kind in (Kind.OWN_LAN, Kind.ATTACHED) or _passed_filter(seen):
        yield _item(
            "lan",
            "wrong",
            f"{target.address} is silent, though others on the way answer: it is off, or its own "
            "firewall drops us, or the policy leaves it out.",
            "Let its firewall accept the router's address, and try a port that is open.",
        )
    else:
        yield _item("lan", "unknown", "Not reached, so not judged.")


def _outcome(seen: Evidence, address: IPAddress) -> Outcome:
    answer = seen.answers.get(address)
    return Outcome.SILENT if answer is None else answer.outcome
