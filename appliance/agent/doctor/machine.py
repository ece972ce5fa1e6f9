"""What is wrong with this node itself: host profile, warnings, clock. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from ipaddress import IPv4Address
from typing import Final

from appliance.exit_status import ExitStatus
from appliance.gateway.profile import Setting
from appliance.health.catalogue import CATALOGUE, Severity
from appliance.health.tracker import Raised
from appliance.localapi.types import CheckItem, DoctorReport

STATUS_OF_LAYER = {
    "agent": ExitStatus.AGENT_NOT_RUNNING,
    "profile": ExitStatus.DOCTOR_PROFILE,
    "health": ExitStatus.DOCTOR_HEALTH,
    "name": ExitStatus.DOCTOR_NAME,
    "policy": ExitStatus.DOCTOR_POLICY,
    "key": ExitStatus.DOCTOR_KEY,
    "online": ExitStatus.DOCTOR_OFFLINE,
    "path": ExitStatus.DOCTOR_PATH,
    "route": ExitStatus.DOCTOR_ROUTE,
    "nat": ExitStatus.DOCTOR_NAT,
    "lan": ExitStatus.DOCTOR_LAN,
    "clock": ExitStatus.DOCTOR_CLOCK,
}
"""Every layer that a check can belong to."""


def check_settings(settings: Iterable[Setting]) -> Iterator[CheckItem]:
    """List the host profile."""
    for setting in settings:
        evidence = f"{setting.present}"
        if not setting.is_fine:
            evidence += f", should be {setting.wanted}"
        yield CheckItem(
            layer="profile",
            name=setting.name,
            state=setting.state.value,
            evidence=f"{evidence}. {setting.why}",
            fix="" if setting.is_fine else setting.fix,
        )


def check_health(raised: Iterable[Raised]) -> Iterator[CheckItem]:
    """List the whole catalogue: what is on, and what is not."""
    on = tuple(raised)
    for one in on:
        warning = one.warning
        yield CheckItem(
            layer="health",
            name=warning.title,
            state="note" if warning.severity is Severity.LOW else "wrong",
            evidence=f"{warning.text} Since {one.since:%Y-%m-%d %H:%M} UTC.",
            fix=warning.fix,
        )
    codes = {one.warning.code for one in on}
    for code, entry in CATALOGUE.items():
        if code not in codes:
            yield CheckItem(layer="health", name=entry.title, state="ok")


def check_dhcp(servers: Mapping[str, frozenset[IPv4Address] | None]) -> Iterator[CheckItem]:
    """Judge who hands out addresses at each uplink; None: it could not be asked."""
    for interface, found in servers.items():
        names = " and ".join(str(server) for server in sorted(found or ()))
        if found is None:
            state, text = "unknown", f"{interface} could not be asked."
        elif not found:
            state, text = "ok", f"Nobody hands out addresses at {interface}."
        elif len(found) == 1:
            state, text = "ok", f"{names} alone hands out addresses at {interface}."
        else:
            state, text = "wrong", f"{names} all hand out addresses at {interface}."
        yield CheckItem(
            layer="lan",
            name=f"DHCP at {interface}",
            state=state,
            evidence=text,
            fix=_ONE_DHCP_SERVER if state == "wrong" else "",
        )


_ONE_DHCP_SERVER: Final = (
    "Switch all but one off: which one answers first decides anew each time what address and "
    "what router this machine and everything else in the LAN get."
)


def check_clock(offset: timedelta | None) -> CheckItem:
    """Judge the clock by the coordinator's; None: nobody to compare with."""
    if offset is None:
        text = "No coordinator is connected to compare with."
        return CheckItem(layer="clock", name="clock", state="unknown", evidence=text)
    if not offset:
        return CheckItem(
            layer="clock", name="clock", state="ok", evidence="It agrees with the coordinator's."
        )
    behind = "behind" if offset > timedelta(0) else "ahead of"
    return CheckItem(
        layer="clock",
        name="clock",
        state="wrong",
        evidence=f"It is {abs(offset)} {behind} the coordinator's.",
        fix="Set this machine's clock, or let NTP do it (`timedatectl set-ntp true`).",
    )


def conclude(
    target: str, items: Iterable[CheckItem], *, good: str, agent_running: bool = True
) -> DoctorReport:
    """Name the first broken layer; items of layers come in the order in which they are walked."""
    items = tuple(items)
    broken = [item for item in items if item.is_broken]
    if not broken:
        return DoctorReport(target=target, items=items, verdict=good, agent_running=agent_running)
    first = broken[0]
    others = "" if len(broken) == 1 else f" {len(broken) - 1} more below it."
    return DoctorReport(
        target=target,
        items=items,
        agent_running=agent_running,
        verdict=f"Broken: {first.layer}. {first.evidence} {first.fix}".rstrip() + others,
        broken=first.layer,
        code=STATUS_OF_LAYER[first.layer].code,
    )
