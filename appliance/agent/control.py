"""Joins the control client to a session: netmaps in, reports out, logins and failures told."""

import asyncio
from datetime import UTC, datetime

from appliance.agent.machine import describe_machine
from appliance.agent.plan.dns import plan_services
from appliance.agent.plan.hostinfo import plan_hostinfo
from appliance.agent.session import ControlLink, Session, SessionOwner
from appliance.controlclient.config import ControlConfig, ControlUrl, NodeReport
from appliance.controlclient.service import ControlClient, ControlStatus
from appliance.controlclient.session import ControlState
from appliance.exit_status import ExitStatus
from appliance.host.marks import connect_marked
from appliance.netmap.session import apply_response
from appliance.protocol.keys import NodePrivate
from appliance.protocol.tailcfg import MapResponse, Service


def open_control(session: Session, owner: SessionOwner, auth_key: str) -> ControlLink:
    """Make the control client of a session; the coordinator's URL was checked before."""
    return AgentControl(session, owner, auth_key)


class AgentControl:
    """Listens to the control client and tells the agent, and the reverse."""

    def __init__(self, session: Session, owner: SessionOwner, auth_key: str) -> None:
        self._session = session
        self._owner = owner
        self._machine = describe_machine()
        self._client = ControlClient(
            ControlConfig(ControlUrl.parse(owner.state.prefs.control_url), owner.state.machine),
            owner.state.node,
            self._report(),
            self,
            connect_marked,
        )
        self._client.log_in(auth_key)

    async def run(self) -> None:
        """Keep the node registered and its netmap streaming until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._client.run(), name="control connection")
            tasks.create_task(self._follow_status(), name="control status")

    def refresh(self) -> None:
        """Tell the coordinator what changed about this node."""
        report = self._report()
        self._client.set_hostinfo(report.hostinfo)
        self._client.set_endpoints(report.endpoints)
        if report.net_info is not None:
            self._client.set_net_info(report.net_info)

    def network_changed(self, *, moved: bool) -> None:
        """Connect anew when an address of ours is gone, else try again now if need be."""
        if moved:
            self._client.reconnect()
        else:
            self._client.retry_now()

    async def log_out(self) -> None:
        """Give the node key up."""
        await self._client.log_out()

    def node_key_renewed(self, key: NodePrivate) -> None:
        """Keep the new node key before it is used."""
        self._owner.change_state(node_key=key.text())
        self._session.netmap_changed()

    def map_received(self, message: MapResponse, *, first: bool) -> None:
        """Fold a message into the netmap."""
        before = None if first else self._owner.netmap
        after = apply_response(before, message, datetime.now(UTC))
        if after is not None and after is not before:
            self._owner.took_netmap(after)
            self._session.netmap_changed()

    async def _follow_status(self) -> None:
        async for status in self._client.status.changes():
            self._tell(status)

    def _tell(self, status: ControlStatus) -> None:
        owner = self._owner
        owner.control_online(
            online=status.state is ControlState.RUNNING,
            problem="" if status.error is None else str(status.error),
        )
        owner.clock_differs(status.clock_offset)
        match status.state:
            case ControlState.POLLING | ControlState.RUNNING:
                owner.logged_in()
            case ControlState.AWAITING_LOGIN:
                owner.needs_login(status.auth_url)
            case ControlState.EXPIRED:
                owner.needs_login()
                owner.failed(
                    "This node's key has expired. Log in again with `latchkey up --force-reauth`.",
                    ExitStatus.LOGIN_NEEDED,
                )
            case ControlState.REFUSED | ControlState.WAITING if status.error is not None:
                if not owner.state.logged_in:
                    owner.gave_up(str(status.error), status.error.status)
                elif owner.netmap is None:
                    owner.failed(str(status.error), status.error.status)
            case _:
                pass

    def _services(self) -> tuple[Service, ...]:
        netmap = self._owner.netmap
        addresses = (netmap.self_node.addresses if netmap is not None else None) or ()
        return plan_services(self._owner.rooms.peerapi.port.value, addresses)

    def _report(self) -> NodeReport:
        underlay = self._session.underlay_status
        return NodeReport(
            hostinfo=plan_hostinfo(
                self._machine,
                self._owner.state.prefs,
                self._owner.offered_routes(),
                underlay.net_info,
                self._services(),
            ),
            disco_key=self._owner.state.disco.public(),
            endpoints=tuple((one.address, one.kind) for one in underlay.endpoints),
            net_info=underlay.net_info,
        )
