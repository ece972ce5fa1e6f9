"""What the control client obeys, and what the node says about itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from appliance.controlclient.errors import ControlError
from appliance.exit_status import ExitStatus
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import DiscoPublic, MachinePrivate
from appliance.protocol.tailcfg import EndpointType, Hostinfo, NetInfo

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class UrlError(ControlError):
    """The coordinator's URL is not written as one."""

    status = ExitStatus.USAGE


@dataclass(frozen=True, slots=True)
class ControlUrl:
    """Where the coordinator is; ``prefix`` has no slash at its end."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> "ControlUrl":
        """Read ``https://host[:port][/prefix]``; anything else is a ``UrlError``."""
        advice = (
            f"{text[:200]!r} is not a coordinator's URL. Write it as https://host or http://host."
        )
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError:
            raise UrlError(advice) from None
        odd = parts.query or parts.fragment or parts.username or not text.isprintable()
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0 or odd:
            raise UrlError(advice)
        prefix = parts.path.rstrip("/")
        return cls(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], prefix)

    @property
    def is_tls(self) -> bool:
        """Whether certificates are checked."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The host, and the port when it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.prefix}"


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """Which coordinator, and as which machine.

    Without ``ca_file`` the system's roots count, or those that ``SSL_CERT_FILE`` names.
    """

    url: ControlUrl
    machine_key: MachinePrivate
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What the node says about itself; a change is reported at once."""

    hostinfo: Hostinfo
    disco_key: DiscoPublic
    endpoints: tuple[tuple[AddrPort, EndpointType], ...] = ()
    net_info: NetInfo | None = None

    @property
    def full_hostinfo(self) -> Hostinfo:
        """The node's description with what it found out about its network."""
        return replace(self.hostinfo, net_info=self.net_info)
