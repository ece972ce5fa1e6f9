"""Records as the admin API shows them. Pure."""

from datetime import datetime

from appliance.adminapi.types import (
    GatewayAccess,
    NodeInfo,
    PolicyInfo,
    PolicyReport,
    PreAuthKeyInfo,
    RouteInfo,
    UserInfo,
)
from appliance.coordinator import routes
from appliance.coordinator.auth.preauth import is_usable
from appliance.coordinator.mapper.view import View
from appliance.coordinator.model import NodeRecord, PreAuthKey, Snapshot, User
from appliance.coordinator.policies import Policies
from appliance.coordinator.policy.check import Verdict


def user_info(snapshot: Snapshot, user: User) -> UserInfo:
    """Show a user."""
    return UserInfo(
        id=user.id,
        name=user.name,
        display_name=user.display_name,
        created=user.created,
        nodes=sum(node.user_id == user.id for node in snapshot.nodes.values()),
    )


def key_info(snapshot: Snapshot, key: PreAuthKey, now: datetime, text: str = "") -> PreAuthKeyInfo:
    """Show a pre-auth key; ``text`` only to the one who made it."""
    return PreAuthKeyInfo(
        id=key.id,
        user=snapshot.users[key.user_id].name,
        created=key.created,
        expires=key.expires,
        reusable=key.reusable,
        ephemeral=key.ephemeral,
        tags=key.tags,
        used=key.used,
        revoked=key.revoked,
        usable=is_usable(key, now),
        key=text,
    )


def node_info(snapshot: Snapshot, node: NodeRecord, view: View) -> NodeInfo:
    """Show a node."""
    owner = "" if node.user_id is None else snapshot.users[node.user_id].name
    return NodeInfo(
        id=node.id,
        name=node.name,
        fqdn=view.tailnet.fqdn(node.name).rstrip("."),
        user=owner,
        tags=node.tags,
        addresses=tuple(str(address) for address in node.addresses),
        online=node.online,
        last_seen=node.last_seen,
        created=node.created,
        key_expiry=node.key_expiry,
        expired=node.id in snapshot.expired,
        ephemeral=node.ephemeral,
        hostname=node.hostinfo.hostname,
        os=node.hostinfo.os,
        client_version=node.hostinfo.ipn_version,
        cap_version=node.cap_version,
        node_key=node.node_key.text(),
        machine_key=node.machine_key.text(),
        endpoints=node.endpoints,
        home_relay=node.home_derp,
        routes=route_infos(snapshot, node),
        published=tuple(sorted(str(address) for address in node.published)),
    )


def route_infos(snapshot: Snapshot, node: NodeRecord) -> tuple[RouteInfo, ...]:
    """Show what a node advertises or may carry."""
    offered = routes.advertised(node)
    served = routes.served(snapshot, node)
    return tuple(
        RouteInfo(
            node_id=node.id,
            node=node.name,
            prefix=str(prefix),
            advertised=prefix in offered,
            approved=prefix in node.approved_routes,
            primary=snapshot.primaries.get(prefix) == node.id,
            serving=prefix in served,
        )
        for prefix in routes.in_order(offered | node.approved_routes)
    )


def policy_info(policies: Policies) -> PolicyInfo:
    """Show the policy in force."""
    stored = policies.stored
    return PolicyInfo(
        source=policies.source,
        file=policies.file,
        text=policies.text,
        since=stored.created if stored and policies.source == "stored" else None,
        earlier=policies.earlier,
    )


def policy_report(verdict: Verdict) -> PolicyReport:
    """Show what a policy does."""
    return PolicyReport(
        admins=verdict.admins,
        gateways=tuple(
            GatewayAccess(
                node=gateway.node.name,
                address=str(gateway.node.ipv4),
                role=gateway.role,
                reachable_by=tuple(device.name for device in gateway.by),
                locked_out=gateway.is_locked,
            )
            for gateway in verdict.gateways
        ),
        warnings=verdict.warnings,
        notes=verdict.notes,
    )
