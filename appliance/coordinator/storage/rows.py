"""Records to table rows and back. Pure."""

import json
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from appliance.coordinator.model import NodeRecord, PolicyRecord, PreAuthKey, User
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.keys import DiscoPublic, MachinePublic, NodePublic
from appliance.protocol.tailcfg import Hostinfo, decode, encode

Row = dict[str, Any]


def row_of_user(user: User) -> Row:
    """Write a user."""
    return _plain(user)


def user_of_row(row: Row) -> User:
    """Read a user."""
    return User(**{**row, "created": datetime.fromisoformat(row["created"])})


def row_of_key(key: PreAuthKey) -> Row:
    """Write a pre-auth key."""
    return _plain(key)


def key_of_row(row: Row) -> PreAuthKey:
    """Read a pre-auth key."""
    return PreAuthKey(
        id=row["id"],
        secret_hash=row["secret_hash"],
        user_id=row["user_id"],
        created=datetime.fromisoformat(row["created"]),
        expires=_time(row["expires"]),
        reusable=bool(row["reusable"]),
        ephemeral=bool(row["ephemeral"]),
        tags=tuple(json.loads(row["tags"])),
        used=_time(row["used"]),
        revoked=bool(row["revoked"]),
    )


def row_of_node(node: NodeRecord) -> Row:
    """Write a node."""
    return _plain(node)


def node_of_row(row: Row) -> NodeRecord:
    """Read a node."""
    disco_key = row["disco_key"]
    return NodeRecord(
        id=row["id"],
        machine_key=MachinePublic.parse(row["machine_key"]),
        node_key=NodePublic.parse(row["node_key"]),
        user_id=row["user_id"],
        name=row["name"],
        ipv4=IPv4Address(row["ipv4"]),
        ipv6=IPv6Address(row["ipv6"]),
        created=datetime.fromisoformat(row["created"]),
        name_fixed=bool(row["name_fixed"]),
        tags=tuple(json.loads(row["tags"])),
        ephemeral=bool(row["ephemeral"]),
        preauth_key_id=row["preauth_key_id"],
        key_expiry=_time(row["key_expiry"]),
        approved_routes=frozenset(ip_network(t) for t in json.loads(row["approved_routes"])),
        published=frozenset(ip_address(t) for t in json.loads(row["published"])),
        hostinfo=decode(Hostinfo, row["hostinfo"]),
        disco_key=None if disco_key is None else DiscoPublic.parse(disco_key),
        endpoints=tuple(json.loads(row["endpoints"])),
        home_derp=row["home_derp"],
        cap_version=row["cap_version"],
        online=bool(row["online"]),
        last_seen=_time(row["last_seen"]),
    )


def row_of_policy(policy: PolicyRecord) -> Row:
    """Write a policy."""
    return _plain(policy)


def policy_of_row(row: Row) -> PolicyRecord:
    """Read a policy."""
    return PolicyRecord(row["id"], row["text"], datetime.fromisoformat(row["created"]))


def row_of_primary(primary: tuple[str, int]) -> Row:
    """Write which node carries a route."""
    prefix, node_id = primary
    return {"prefix": prefix, "node_id": node_id}


def primary_of_row(row: Row) -> tuple[IPNetwork, int]:
    """Read which node carries a route."""
    return ip_network(row["prefix"]), row["node_id"]


def _plain(record: User | PreAuthKey | NodeRecord | PolicyRecord) -> Row:
    return {f.name: _to_sql(getattr(record, f.name)) for f in fields(record)}


def _to_sql(value: object) -> object:
    match value:
        case None | str() | bytes() | int():
            return value
        case datetime():
            return value.isoformat()
        case MachinePublic() | NodePublic() | DiscoPublic():
            return value.text()
        case Hostinfo():
            return encode(value).decode()
        case tuple() | frozenset():
            return _json_list(value)
        case _:
            return str(value)


def _json_list(values: Iterable[object]) -> str:
    texts = [str(value) for value in values]
    return json.dumps(sorted(texts) if isinstance(values, frozenset) else texts)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
