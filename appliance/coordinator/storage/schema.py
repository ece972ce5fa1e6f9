"""The tables as SQLAlchemy sees them; a test holds them against the migrations."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData()

USERS: Final = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("created", Text, nullable=False),
)

PREAUTH_KEYS: Final = Table(
    "preauth_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("created", Text, nullable=False),
    Column("expires", Text),
    Column("reusable", Integer, nullable=False),
    Column("ephemeral", Integer, nullable=False),
    Column("tags", Text, nullable=False),
    Column("used", Text),
    Column("revoked", Integer, nullable=False),
)

NODES: Final = Table(
    "nodes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("machine_key", Text, nullable=False),
    Column("node_key", Text, nullable=False, unique=True),
    Column("user_id", Integer, ForeignKey("users.id")),
    Column("name", Text, nullable=False, unique=True),
    Column("name_fixed", Integer, nullable=False),
    Column("ipv4", Text, nullable=False, unique=True),
    Column("ipv6", Text, nullable=False, unique=True),
    Column("created", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("ephemeral", Integer, nullable=False),
    Column("preauth_key_id", Text, nullable=False),
    Column("key_expiry", Text),
    Column("approved_routes", Text, nullable=False),
    Column("published", Text, nullable=False),
    Column("hostinfo", Text, nullable=False),
    Column("disco_key", Text),
    Column("endpoints", Text, nullable=False),
    Column("home_derp", Integer, nullable=False),
    Column("cap_version", Integer, nullable=False),
    Column("online", Integer, nullable=False),
    Column("last_seen", Text),
)

POLICIES: Final = Table(
    "policies",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("created", Text, nullable=False),
)

PRIMARIES: Final = Table(
    "primaries",
    METADATA,
    Column("prefix", Text, primary_key=True),
    Column("node_id", Integer, nullable=False),
)

COUNTERS: Final = Table(
    "counters",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Integer, nullable=False),
)
