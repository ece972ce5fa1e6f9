"""The admin API's backend: what admins may do, carried out on the state."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from appliance.adminapi.types import (
    ApproveNode,
    AskNode,
    CreatePreAuthKey,
    CreateUser,
    Done,
    EditNode,
    ExpireNode,
    Failure,
    NodeInfo,
    NodeList,
    NodeReply,
    PendingInfo,
    PendingList,
    PingAnswer,
    PingNode,
    PolicyChange,
    PolicyDraft,
    PolicyInfo,
    PolicyReport,
    PreAuthKeyInfo,
    PreAuthKeyList,
    Prefixes,
    PublishedAddress,
    RenameUser,
    RevertPolicy,
    RouteList,
    ServerStatus,
    UserInfo,
    UserList,
)
from appliance.coordinator import edits, reports, routes
from appliance.coordinator.auth import preauth
from appliance.coordinator.derpmap import relay_addresses
from appliance.coordinator.edits import find_node, find_user
from appliance.coordinator.errors import CoordinatorError, InvalidError, RefusedError
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.naming import check_tag
from appliance.coordinator.pings import Pings
from appliance.coordinator.policies import Policies
from appliance.coordinator.policy.check import Verdict
from appliance.coordinator.polls import Polls
from appliance.coordinator.registrar import Registrar
from appliance.coordinator.registration import Grant
from appliance.coordinator.resolve import addresses_of, own_lans
from appliance.coordinator.settings import Settings
from appliance.coordinator.state import State
from appliance.protocol.addresses import IPAddress
from appliance.version import VERSION

_log = logging.getLogger(__name__)


def explain(error: Exception) -> Failure | None:
    """Return what an admin is told about a refusal; ``None`` for what is our own fault."""
    if isinstance(error, RefusedError):
        return Failure(code=error.code, message=str(error))
    if isinstance(error, CoordinatorError):
        return Failure(code="error", message=str(error))
    return None


@dataclass(frozen=True, slots=True)
class Admin:
    """Implements the admin API's ``Backend``."""

    settings: Settings
    state: State
    registrar: Registrar
    polls: Polls
    pings: Pings
    policies: Policies
    clock: Callable[[], datetime]

    async def status(self) -> ServerStatus:
        """Tell how the coordinator is doing."""
        snapshot = self.state.snapshot
        return ServerStatus(
            version=VERSION,
            server_url=self.settings.url,
            base_domain=self.settings.base_domain,
            users=len(snapshot.users),
            nodes=len(snapshot.nodes),
            connected=len(self.polls),
            pending=len(self.registrar.pending()),
        )

    async def users(self) -> UserList:
        """List users."""
        snapshot = self.state.snapshot
        users = (reports.user_info(snapshot, user) for user in snapshot.users.values())
        return UserList(users=tuple(users))

    async def create_user(self, request: CreateUser) -> UserInfo:
        """Make a user."""
        user = await self.state.write(edits.create_user(request.name, request.display_name))
        return reports.user_info(self.state.snapshot, user)

    async def rename_user(self, user: str, request: RenameUser) -> UserInfo:
        """Give a user another name."""
        renamed = await self.state.write(edits.rename_user(user, request.name))
        return reports.user_info(self.state.snapshot, renamed)

    async def delete_user(self, user: str) -> Done:
        """Delete a user who owns no nodes, with their pre-auth keys."""
        await self.state.write(edits.delete_user(user))
        return Done()

    async def preauth_keys(self) -> PreAuthKeyList:
        """List pre-auth keys."""
        snapshot, now = self.state.snapshot, self.clock()
        keys = sorted(snapshot.keys.values(), key=lambda key: key.created)
        return PreAuthKeyList(keys=tuple(reports.key_info(snapshot, key, now) for key in keys))

    async def create_preauth_key(self, request: CreatePreAuthKey) -> PreAuthKeyInfo:
        """Make a pre-auth key and show its text, this once."""
        identifier = preauth.key_id(secrets.token_bytes(preauth.ID_BYTES))
        secret = secrets.token_bytes(preauth.SECRET_BYTES)
        terms = edits.KeyTerms(
            request.user, request.reusable, request.ephemeral, request.tags, request.lifetime_s
        )
        stored = preauth.hash_secret(secret)
        key = await self.state.write(edits.create_key(identifier, stored, terms))
        text = preauth.key_text(identifier, secret)
        return reports.key_info(self.state.snapshot, key, self.clock(), text)

    async def revoke_preauth_key(self, key: str) -> PreAuthKeyInfo:
        """Make a key useless."""
        revoked = await self.state.write(edits.revoke_key(key))
        return reports.key_info(self.state.snapshot, revoked, self.clock())

    async def nodes(self) -> NodeList:
        """List nodes."""
        return NodeList(nodes=tuple(self._info(n) for n in self.state.snapshot.nodes.values()))

    async def node(self, node: str) -> NodeInfo:
        """Show one node."""
        return self._info(find_node(self.state.snapshot, node))

    async def edit_node(self, node: str, request: EditNode) -> NodeInfo:
        """Rename or tag a node, both or none."""

        def edit(snapshot: Snapshot, now: datetime) -> tuple[Snapshot, NodeRecord]:
            record = find_node(snapshot, node)
            if request.name is not None:
                snapshot, record = edits.rename_node(record.id, request.name)(snapshot, now)
            if request.tags is not None:
                snapshot, record = edits.tag_node(record.id, request.tags)(snapshot, now)
            return snapshot, record

        return self._info(await self.state.write(edit))

    async def expire_node(self, node: str, request: ExpireNode) -> NodeInfo:
        """Say when a node must log in again."""
        in_s = None if request.never else request.in_s
        return self._info(await self.state.write(edits.expire_node(node, in_s)))

    async def delete_node(self, node: str) -> Done:
        """Delete a node; its stream tells it so."""
        deleted = await self.state.write(edits.delete_node(node))
        _log.info("%s was deleted by an admin.", deleted.name)
        return Done()

    async def pending(self) -> PendingList:
        """List the devices that wait."""
        now = asyncio.get_running_loop().time()
        return PendingList(
            pending=tuple(
                PendingInfo(
                    id=entry.id,
                    hostname=entry.hostinfo.hostname,
                    os=entry.hostinfo.os,
                    client_version=entry.hostinfo.ipn_version,
                    machine_key=entry.machine_key.text(),
                    waiting_s=int(now - entry.since),
                )
                for entry in self.registrar.pending()
            )
        )

    async def approve_pending(self, entry: str, request: ApproveNode) -> NodeInfo:
        """Admit a device that waits, for a user or in the name of tags."""
        if bool(request.user) == bool(request.tags):
            raise InvalidError("Say whose the device is: a user, or tags, but not both.")
        tags = tuple(sorted({check_tag(tag) for tag in request.tags}))
        user_id = find_user(self.state.snapshot, request.user).id if request.user else None
        node = await self.registrar.approve(entry, Grant(user_id=user_id, tags=tags))
        return self._info(node)

    async def reject_pending(self, entry: str) -> Done:
        """Turn a device away."""
        self.registrar.reject(entry)
        return Done()

    async def routes(self) -> RouteList:
        """List routes."""
        snapshot = self.state.snapshot
        nodes = tuple(snapshot.nodes.values())
        return RouteList(
            routes=tuple(r for node in nodes for r in reports.route_infos(snapshot, node)),
            notes=tuple(note for node in nodes for note in routes.remarks(snapshot, node)),
        )

    async def approve_routes(self, node: str, request: Prefixes) -> RouteList:
        """Let a node carry routes."""
        own = await addresses_of(self.settings.host)
        relays = relay_addresses(self.state.view.tailnet.derp_map)
        wanted = routes.parse_approval(request.prefixes, own, relays, own_lans())
        return self._routes_of(await self.state.write(edits.approve_routes(node, wanted)))

    async def revoke_routes(self, node: str, request: Prefixes) -> RouteList:
        """No longer let a node carry routes."""
        unwanted = routes.parse_approval(request.prefixes)
        return self._routes_of(await self.state.write(edits.revoke_routes(node, unwanted)))

    async def publish(self, node: str, request: PublishedAddress) -> NodeInfo:
        """Show a LAN host among its router's addresses."""
        address = _address(request.address)
        return self._info(await self.state.write(edits.publish(node, address)))

    async def unpublish(self, node: str, request: PublishedAddress) -> NodeInfo:
        """No longer show a LAN host."""
        address = _address(request.address)
        return self._info(await self.state.write(edits.unpublish(node, address)))

    async def policy(self) -> PolicyInfo:
        """Show the policy in force."""
        return reports.policy_info(self.policies)

    async def check_policy(self, request: PolicyDraft) -> PolicyReport:
        """Try a policy; nothing changes."""
        return reports.policy_report(await self.policies.check(request.text))

    async def set_policy(self, request: PolicyDraft) -> PolicyChange:
        """Put a policy in force."""
        verdict = await self.policies.use(request.text, confirmed=request.confirmed)
        return self._changed(verdict)

    async def revert_policy(self, request: RevertPolicy) -> PolicyChange:
        """Go back to the policy before."""
        return self._changed(await self.policies.revert(confirmed=request.confirmed))

    async def ping(self, node: str, request: PingNode) -> PingAnswer:
        """Let a node ping an address, or another node by its name."""
        record = find_node(self.state.snapshot, node)
        ip = self._ping_target(request.address)
        answer = await self.pings.ping(
            record.id, record.machine_key, str(ip), request.type, request.timeout_s
        )
        return PingAnswer(
            node_name=answer.node_name,
            ip=answer.ip,
            latency_s=answer.latency_seconds,
            endpoint=answer.endpoint,
            relay_region=answer.derp_region_id,
            relay_code=answer.derp_region_code,
            error=answer.err,
        )

    async def ask_node(self, node: str, request: AskNode) -> NodeReply:
        """Let a node serve an HTTP request."""
        record = find_node(self.state.snapshot, node)
        answer = await self.pings.request(
            record.id,
            record.machine_key,
            request.method,
            request.path,
            request.body.encode(),
            request.timeout_s,
        )
        return NodeReply(status=answer.status, body=_json_or_text(answer.body))

    def _changed(self, verdict: Verdict) -> PolicyChange:
        report = reports.policy_report(verdict)
        return PolicyChange(policy=reports.policy_info(self.policies), report=report)

    def _info(self, node: NodeRecord) -> NodeInfo:
        view = self.state.view
        return reports.node_info(view.snapshot, view.snapshot.nodes.get(node.id, node), view)

    def _routes_of(self, node: NodeRecord) -> RouteList:
        snapshot = self.state.snapshot
        node = snapshot.nodes.get(node.id, node)
        return RouteList(
            routes=reports.route_infos(snapshot, node), notes=routes.remarks(snapshot, node)
        )

    def _ping_target(self, text: str) -> IPAddress:
        try:
            return ip_address(text)
        except ValueError:
            return find_node(self.state.snapshot, text).ipv4


def _address(text: str) -> IPAddress:
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidError(f"{text[:60]!r} is not an IP address.") from None


def _json_or_text(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
