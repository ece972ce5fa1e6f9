"""What can be said of a node while its agent is not running: state on disk, and the machine."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.agent.doctor.machine import check_settings, conclude
from appliance.agent.doctor.reach import Evidence, walk
from appliance.agent.doctor.service import find_target
from appliance.agent.errors import AgentError
from appliance.agent.plan.gateway import plan_gateway
from appliance.agent.plan.inputs import Inputs
from appliance.agent.settings import Settings
from appliance.agent.statefile import State, StateStore
from appliance.agent.wiring import SETTINGS_RECORD, surroundings_of
from appliance.controlclient.config import ControlUrl
from appliance.controlclient.errors import ControlError
from appliance.gateway.errors import GatewayError
from appliance.gateway.linux import LinuxGateway
from appliance.host.errors import HostError
from appliance.host.marks import FWMARK
from appliance.host.netmon import NetworkMonitor
from appliance.localapi.types import CheckItem, DoctorReport
from appliance.netmap.model import NetworkMap

_REACH_S = 3.0


@dataclass(frozen=True, slots=True)
class _Found:
    """What is on disk."""

    state: State | None = None
    netmap: NetworkMap | None = None
    problem: str = ""


async def examine_offline(settings: Settings, target: str = "") -> DoctorReport:
    """Say that the agent does not run, and everything that can be known without it."""
    found = await asyncio.to_thread(_read, settings)
    items = [
        CheckItem(
            layer="agent",
            name="agent",
            state="wrong",
            evidence="The agent is not running.",
            fix="Start it with `systemctl start latchkey-agent`.",
        ),
        *_of_state(found),
        *_of_network(settings),
        *(await _of_coordinator(found)),
        *(await _of_machine(settings)),
    ]
    inputs = _inputs(settings, found)
    if inputs is not None:
        items += await _of_settings(settings, inputs)
    if target and inputs is not None:
        items += await _of_target(inputs, target)
    return conclude(target, items, good="", agent_running=False)


def _read(settings: Settings) -> _Found:
    if not (settings.state_dir / "state.json").exists():
        return _Found(problem=f"There is no state in {settings.state_dir}, or it may not be read.")
    store = StateStore(settings.state_dir)
    try:
        return _Found(store.load(), store.load_netmap())
    except (AgentError, OSError) as error:
        return _Found(problem=str(error))


def _note(name: str, evidence: str, state: str = "note", fix: str = "") -> CheckItem:
    return CheckItem(layer="agent", name=name, state=state, evidence=evidence, fix=fix)


def _of_state(found: _Found) -> Iterator[CheckItem]:
    if found.state is None:
        yield _note("state", found.problem, "unknown", "Run this as root.")
        return
    wish = "wants to be connected" if found.state.prefs.want_running else "is switched off (`down`)"
    login = "is logged in" if found.state.logged_in else "is logged out"
    yield _note("state", f"This node {login}, and {wish}.")
    if found.netmap is not None:
        expiry = found.netmap.self_node.key_expiry
        if expiry is not None and expiry.year > 1 and expiry <= datetime.now(UTC):
            fix = "`latchkey up --force-reauth` once the agent runs."
            yield _note("key", "This node's key has expired.", "wrong", fix)


def _of_network(settings: Settings) -> Iterator[CheckItem]:
    try:
        state = NetworkMonitor(settings.interface).state.value
    except HostError as error:
        yield _note("network", str(error), "unknown")
        return
    if not state.uplinks:
        fix = "Plug in a network, or see why there is no DHCP lease."
        yield _note("network", "This machine has no default route.", "wrong", fix)
        return
    names = ", ".join(one.name for one in state.uplinks)
    lans = ", ".join(sorted(map(str, state.lan_networks))) or "none"
    families = " and ".join(f"IPv{v}" for v in (4, 6) if state.has_internet(v))
    yield _note("network", f"Uplink {names} ({families}); LANs: {lans}.", "ok")


async def _of_coordinator(found: _Found) -> list[CheckItem]:
    if found.state is None or not found.state.prefs.control_url:
        return []
    try:
        url = ControlUrl.parse(found.state.prefs.control_url)
        async with asyncio.timeout(_REACH_S):
            _, writer = await asyncio.open_connection(url.host, url.port)
            writer.close()
    except ControlError as error:
        return [_note("coordinator", str(error), "wrong")]
    except (OSError, TimeoutError):
        text = f"The coordinator {found.state.prefs.control_url} does not answer."
        return [_note("coordinator", text, "wrong", "See whether this machine has a network.")]
    return [_note("coordinator", "The coordinator answers.", "ok")]


async def _of_machine(settings: Settings) -> list[CheckItem]:
    """Say what a killed agent left."""
    try:
        status = await LinuxGateway(settings.state_dir / SETTINGS_RECORD).observe()
    except (GatewayError, HostError) as error:
        return [_note("leftovers", str(error), "unknown", "Run this as root.")]
    if not (status.ruleset or status.rules or status.routes):
        return [_note("leftovers", "Nothing of an agent is left on this machine.", "ok")]
    left = [
        *(["the packet filter"] if status.ruleset else []),
        *([f"{status.rules} policy rules"] if status.rules else []),
        *([f"{len(status.routes)} routes into the tunnel"] if status.routes else []),
    ]
    text = f"An agent that ended left {', '.join(left)}: the mesh goes on as it was then."
    return [_note("leftovers", text, "note", "`latchkey down --clean` removes it.")]


async def _of_settings(settings: Settings, inputs: Inputs) -> list[CheckItem]:
    gateway = LinuxGateway(settings.state_dir / SETTINGS_RECORD)
    config = plan_gateway(inputs)
    try:
        found = await asyncio.to_thread(gateway.observe_settings, config)
    except (GatewayError, HostError) as error:
        return [_note("profile", str(error), "unknown")]
    return list(check_settings(found))


def _inputs(settings: Settings, found: _Found) -> Inputs | None:
    if found.state is None or found.netmap is None:
        return None
    try:
        around = surroundings_of(NetworkMonitor(settings.interface).state.value)
    except HostError:
        return None
    return Inputs(
        netmap=found.netmap,
        prefs=found.state.prefs,
        around=around,
        node_key=found.state.node,
        disco_key=found.state.disco,
        interface=settings.interface,
        listen_port=settings.port,
        fwmark=FWMARK,
        now=datetime.now(UTC),
        memory=found.state.route_memory(),
    )


async def _of_target(inputs: Inputs, text: str) -> list[CheckItem]:
    target = await find_target(inputs, text)
    evidence = Evidence(target, inputs, connected=False, control_online=False)
    return [item for item in walk(evidence) if item.layer in ("name", "key", "route", "clock")]
