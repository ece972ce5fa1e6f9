"""What becomes of a query: answered here, or asked of somebody. Pure."""

from dataclasses import dataclass

from appliance.dns.config import DnsConfig, Nobody
from appliance.protocol.dns import (
    NAME_ERROR,
    SERVER_FAILURE,
    TYPE_A,
    TYPE_AAAA,
    Query,
    encode_failure,
)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer is known here."""

    reply: bytes


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The config's upstream is asked, through the tunnel."""


@dataclass(frozen=True, slots=True)
class AskedDirectly:
    """The host's own resolvers are asked, past the tunnel."""


Fate = Answered | Forwarded | AskedDirectly


def decide(config: DnsConfig, query: Query) -> Fate:
    """Decide a query's fate."""
    if query.name in config.direct_names and query.kind in (TYPE_A, TYPE_AAAA):
        return AskedDirectly()
    if query.name == "onion" or query.name.endswith(".onion"):  # RFC 7686: never looked up
        return Answered(encode_failure(query, NAME_ERROR))
    if isinstance(config.upstream, Nobody):
        return Answered(encode_failure(query, SERVER_FAILURE))
    return Forwarded()
