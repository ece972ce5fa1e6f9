"""The settings file: read once at the start, unknown keys refused with a hint.

    server_url = "https://vpn.example.org"      # what nodes are told to log in to
    state_dir = "/var/lib/latchkey-coordinator"
    base_domain = "mesh.internal"               # box.mesh.internal

    [tls]                                       # leave out: plain HTTP behind a proxy or on a LAN
    cert = "/etc/latchkey/cert.pem"
    key = "/etc/latchkey/key.pem"

    [derp]
    embedded = true                             # this process is a relay, too

Every key with its default is a field below.
"""

import tomllib
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Any, Final, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec

from appliance.coordinator.errors import SettingsError
from appliance.coordinator.ipam import TAILNET_V4, TAILNET_V6, Pool
from appliance.protocol.addresses import IPAddress
from appliance.spelling import hint

DEFAULT_CONFIG: Final = Path("/etc/latchkey/coordinator.toml")
SETUP_CONFIG: Final = Path("/var/lib/latchkey-coordinator-settings/coordinator.toml")
"""What the setup page had written; counts where its owner wrote no other."""

# 900 to 999 are for private relays: the vendor's own map stays below.
FIRST_OWN_REGION: Final = 900


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class TlsSettings(_Section, frozen=True, kw_only=True):
    """The certificate that nodes see; both or none."""

    cert: str = ""
    """The chain, in PEM."""
    key: str = ""
    """Its private key, in PEM."""


class PrefixSettings(_Section, frozen=True, kw_only=True):
    """Where nodes' addresses come from; within the ranges that stock clients insist on."""

    v4: str = str(TAILNET_V4)
    v6: str = str(TAILNET_V6)


class RelayNodeSettings(_Section, frozen=True, kw_only=True):
    """One relay server of a region of one's own."""

    host: str
    """Its name or address."""
    port: int = 443
    stun_port: int = 3478
    """-1: none."""
    ipv4: str = ""
    ipv6: str = ""
    cert_name: str = ""
    """``sha256-raw:<hex>`` pins a self-signed certificate."""
    insecure: bool = False
    """Nodes do not check its certificate; for tests."""


class RegionSettings(_Section, frozen=True, kw_only=True):
    """A region of relays that run elsewhere."""

    id: int
    """From 900 to 999 for relays of one's own."""
    code: str
    name: str = ""
    nodes: tuple[RelayNodeSettings, ...]


class DerpSettings(_Section, frozen=True, kw_only=True):
    """The relays that nodes are told of."""

    embedded: bool = True
    """Relay in this process, on the coordinator's own port."""
    region_id: int = FIRST_OWN_REGION
    """Number of the region that the embedded relay is."""
    region_code: str = "home"
    """Its short name."""
    region_name: str = "Latchkey"
    """Its name for people."""
    host: str = ""
    """Default: the host of ``server_url``."""
    port: int = 0
    """Default: the port of ``server_url``, or of ``listen`` where that is plain HTTP."""
    listen: str = ":8443"
    """Where ``server_url`` is plain HTTP only: the address and port of the relay's own TLS."""
    ipv4: str = ""
    """Its address, so that nodes need no DNS for it."""
    ipv6: str = ""
    """The same."""
    cert_name: str = ""
    """``sha256-raw:<hex>`` pins the certificate in front of the relay; stands by itself where the
    relay has its own TLS."""
    insecure: bool = False
    stun_listen: str = ":3478"
    """Address and UDP port; empty: no STUN."""
    stun_port: int = 0
    """What nodes are told; default: the port of ``stun_listen``."""
    regions: tuple[RegionSettings, ...] = ()
    """Relays that run elsewhere."""


class DnsSettings(_Section, frozen=True, kw_only=True):
    """What nodes do with names."""

    magic_dns: bool = True
    """Nodes look names of the mesh up."""
    nameservers: tuple[str, ...] = ()
    """Whom nodes ask for all other names; empty: their own."""
    search_domains: tuple[str, ...] = ()
    """Beside base_domain."""
    split: dict[str, tuple[str, ...]] = {}
    """Name servers of single domains."""


class Settings(_Section, frozen=True, kw_only=True):
    """The whole file."""

    server_url: str
    """What nodes are told to log in to."""
    listen: str = ""
    """Address and TCP port; default: every address at the port of ``server_url`` with a
    certificate, 127.0.0.1:8080 without one."""
    state_dir: str = "/var/lib/latchkey-coordinator"
    """Database, keys and the embedded relay's certificate."""
    admin_socket: str = "/run/latchkey-coordinator/admin.sock"
    """Where ``latchkey admin`` asks."""
    admin_group: str = ""
    """A group whose members may administer, beside root and the user that this runs as."""
    base_domain: str = "mesh.internal"
    """What names of nodes end in."""
    node_key_days: int = 0
    """After how many days a person's node must log in again; 0: never."""
    ephemeral_timeout_s: int = 120
    """How long an ephemeral node may stay away before it is deleted."""
    policy_file: str = ""
    """A file that is the policy; empty: the one that ``latchkey admin policy set`` stored."""
    verbose: bool = False
    tls: TlsSettings = TlsSettings()
    prefixes: PrefixSettings = PrefixSettings()
    derp: DerpSettings = DerpSettings()
    dns: DnsSettings = DnsSettings()

    @property
    def host(self) -> str:
        """The host that nodes dial."""
        return urlsplit(self.server_url).hostname or ""

    @property
    def port(self) -> int:
        """The port that nodes dial."""
        parts = urlsplit(self.server_url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def url(self) -> str:
        """``server_url`` without a slash at its end."""
        return self.server_url.rstrip("/")

    @property
    def listen_address(self) -> tuple[str, int]:
        """Where to accept connections; an empty host is every address."""
        if self.listen:
            return parse_listen(self.listen)
        return ("", self.port) if self.tls.cert else ("127.0.0.1", 8080)

    @property
    def relay_listen_address(self) -> tuple[str, int] | None:
        """Where the embedded relay has TLS of its own, which plain HTTP makes necessary."""
        if not self.derp.embedded or urlsplit(self.server_url).scheme == "https":
            return None
        return parse_listen(self.derp.listen)

    @property
    def pool(self) -> Pool:
        """Where nodes' addresses come from."""
        return Pool(IPv4Network(self.prefixes.v4), IPv6Network(self.prefixes.v6))

    @property
    def key_lifetime(self) -> timedelta | None:
        """How long a person's node key lives."""
        return timedelta(days=self.node_key_days) if self.node_key_days else None


S = TypeVar("S", bound=_Section)


def find_config(own: Path = DEFAULT_CONFIG, setup: Path = SETUP_CONFIG) -> Path:
    """Return the settings file to read where none is named: the owner's own before the page's."""
    try:
        is_setup = setup.exists() and not own.exists()
    except OSError:  # not for this user's eyes
        is_setup = False
    return setup if is_setup else own


def load_settings(path: Path) -> Settings:
    """Read the file; whatever is wrong with it is one sentence."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise SettingsError(
            f"There is no settings file {path}. Write one (server_url is enough to begin with), "
            "or name another with --config."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.") from None
    try:
        return parse_settings(text)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def parse_settings(text: str) -> Settings:
    """Read the text of a settings file."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"this is not TOML: {error}.") from None
    _refuse_unknown(values, Settings, "")
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(_as_sentence(str(error))) from None
    _check(settings)
    return settings


def parse_listen(text: str) -> tuple[str, int]:
    """Read ``host:port``, ``[v6]:port`` or ``:port``."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{text!r} is not an address and a port: write it like 0.0.0.0:443.")
    if ":" in host and bare == host:
        raise SettingsError(f"{text!r}: write an IPv6 address in brackets, like [::]:443.")
    return bare, int(port)


def _refuse_unknown(values: dict[str, Any], section: type[_Section], where: str) -> None:
    known = {field.name: field.type for field in msgspec.structs.fields(section)}
    for name, value in values.items():
        if name not in known:
            meant = hint(name, sorted(known), "Known here")
            raise SettingsError(f"unknown key {where + name!r}. {meant}")
        for inner in _sections(known[name]):
            for entry in value if isinstance(value, list) else [value]:
                if isinstance(entry, dict):
                    _refuse_unknown(entry, inner, f"{where}{name}.")


def _sections(kind: Any) -> list[type[_Section]]:
    candidates = (kind, *get_args(kind))
    return [k for k in candidates if isinstance(k, type) and issubclass(k, _Section)]


def _as_sentence(text: str) -> str:
    what, _, where = text.partition(" - at `$")
    name = where.rstrip("`").lstrip(".")
    return f"{name}: {what}." if name else f"{what}."


def _check(settings: Settings) -> None:
    parts = urlsplit(settings.server_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"server_url {settings.server_url!r} is not an address that nodes can log in to: "
            "write it like https://vpn.example.org or http://192.168.1.2:8080."
        )
    if parts.path not in ("", "/"):
        raise SettingsError("server_url must have no path: nodes drop it for /ts2021.")
    if bool(settings.tls.cert) != bool(settings.tls.key):
        raise SettingsError("tls needs both cert and key, or neither.")
    settings.listen_address  # noqa: B018 - raises
    _check_domain(settings)
    _check_prefixes(settings.prefixes)
    _check_relays(settings.derp)
    if settings.node_key_days < 0 or settings.ephemeral_timeout_s < 0:
        raise SettingsError("node_key_days and ephemeral_timeout_s must not be negative.")


def _check_domain(settings: Settings) -> None:
    domain = settings.base_domain
    labels = domain.split(".")
    if not all(label and label.replace("-", "").isalnum() for label in labels):
        raise SettingsError(f"base_domain {domain!r} is not a domain, like mesh.internal.")
    if settings.host == domain or settings.host.endswith(f".{domain}"):
        raise SettingsError(
            f"base_domain {domain} contains the coordinator's own name {settings.host}: nodes "
            "would look for it inside the mesh. Choose another base_domain."
        )


def _check_prefixes(prefixes: PrefixSettings) -> None:
    try:
        v4, v6 = IPv4Network(prefixes.v4), IPv6Network(prefixes.v6)
    except ValueError as error:
        raise SettingsError(f"prefixes: {error}.") from None
    if not v4.subnet_of(TAILNET_V4) or not v6.subnet_of(TAILNET_V6):
        raise SettingsError(f"prefixes must lie inside {TAILNET_V4} and {TAILNET_V6}.")
    if v4.num_addresses > v6.num_addresses:
        raise SettingsError("prefixes.v6 must hold at least as many addresses as prefixes.v4.")


def _check_relays(derp: DerpSettings) -> None:
    if not derp.embedded and not derp.regions:
        raise SettingsError(
            "nodes need at least one relay: set derp.embedded = true, or name one in derp.regions."
        )
    ids = [region.id for region in derp.regions] + [derp.region_id] * derp.embedded
    if len(set(ids)) != len(ids):
        raise SettingsError("two relay regions have the same id.")
    for number in ids:
        if not 0 < number < 65536:
            raise SettingsError(f"{number} is not a region's id: choose one from 900 to 999.")
    for text in (derp.listen, derp.stun_listen):
        host = parse_listen(text)[0] if text else ""
        if host and literal_address(host) is None:
            raise SettingsError(f"{text!r} must name an address of this machine, not a host.")
    for region in derp.regions:
        if not region.nodes:
            raise SettingsError(f"relay region {region.id} has no nodes.")


def literal_address(host: str) -> IPAddress | None:
    """Return the address that a host name literally is."""
    try:
        return ip_address(host)
    except ValueError:
        return None
