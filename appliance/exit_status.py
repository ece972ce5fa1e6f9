"""Exit statuses of every Latchkey program, and the failure codes of its APIs.

A failure has one name: as an exit status it is a number, over the Local API it is the same name
in lower case with hyphens (``KEY_EXPIRED`` and ``key-expired``).
"""

from enum import IntEnum


class ExitStatus(IntEnum):
    """One number a failure, so that scripts can tell them apart."""

    OK = 0
    ERROR = 1
    """Something failed that has no number of its own, or the mesh is not running."""
    USAGE = 2
    """The command line does not fit."""

    AGENT_NOT_RUNNING = 3
    """Nobody listens on the agent's socket."""
    NOT_ALLOWED = 4
    """This user may look, but not change."""
    TIMEOUT = 5
    """It did not happen in the time given."""
    NO_REPLY = 6
    """A ping went unanswered."""
    NO_SUCH_PEER = 7
    """No node of the mesh has this name or address."""
    LOGIN_NEEDED = 8
    """A person must open the login page, or a key must be given."""

    COORDINATOR_UNREACHABLE = 10
    """No connection to the coordinator."""
    CERTIFICATE_WRONG = 11
    """The coordinator's TLS certificate is not trusted for this name."""
    NOT_A_COORDINATOR = 12
    """Something answers there, but it is no coordinator."""
    CLOCK_WRONG = 13
    """This machine's clock is far off, so certificates cannot be checked."""
    PROTOCOL_BROKEN = 14
    """The coordinator broke the control protocol."""

    KEY_REFUSED = 20
    """The coordinator refused this node for a reason of its own."""
    KEY_WRONG = 21
    """No such pre-auth key."""
    KEY_USED = 22
    """A one-off key that another node used."""
    KEY_EXPIRED = 23
    """The pre-auth key's time is over."""
    KEY_REVOKED = 24
    """An admin revoked the pre-auth key."""
    NODE_KEY_TAKEN = 25
    """The node key belongs to another machine."""

    PREFS_REFUSED = 30
    """A wish that cannot be granted."""
    ROUTE_MALFORMED = 31
    """A subnet that is not written as one, or that cannot be routed."""
    ROUTES_OVERLAP = 32
    """Two advertised subnets cover the same addresses."""
    ROUTE_IS_DEFAULT = 33
    """A default route given as a subnet."""
    ROUTE_HOLDS_COORDINATOR = 34
    """A subnet that contains the coordinator's own address."""
    ROUTE_HOLDS_RELAY = 35
    """A subnet that contains a relay's address."""
    ROUTE_HOLDS_GATEWAY = 36
    """A subnet that contains the default gateway and more than the own LAN."""

    NOT_ROOT = 40
    """The program lacks the right to administer the network."""
    PORT_IN_USE = 41
    """Another program holds the port."""
    NO_TUN = 42
    """The kernel offers neither WireGuard nor TUN devices."""
    NO_WIREGUARD = 43
    """Neither the kernel nor an installed program speaks WireGuard."""
    NFT_MISSING = 44
    """The program ``nft`` is not installed."""
    NFT_REFUSED = 45
    """The kernel did not accept the packet filter."""
    INTERFACE_TAKEN = 46
    """The tunnel's name belongs to something else."""
    ALREADY_RUNNING = 47
    """Another instance uses the same state or socket."""
    STATE_UNUSABLE = 48
    """The state directory cannot be read or written."""

    CONFIG_WRONG = 50
    """A config file with an unknown key or an unfit value."""
    CERTIFICATE_UNREADABLE = 51
    """A certificate or key file that cannot be used."""

    COORDINATOR_NOT_RUNNING = 60
    """Nobody listens on the coordinator's admin socket."""
    REFUSED = 61
    """The coordinator does not do that as things stand."""
    NOT_FOUND = 62
    """No such user, key, node or waiting device."""
    CONFLICT = 63
    """It collides with something that exists."""
    INVALID = 64
    """The request is malformed."""
    LOCKS_OUT = 65
    """A policy that keeps the admins from a gateway, and was not confirmed."""

    DOCTOR_PROFILE = 70
    """`doctor`: a setting of this machine is wrong."""
    DOCTOR_HEALTH = 71
    """`doctor`: a warning is on."""
    DOCTOR_NAME = 72
    """`doctor X`: no node and no route has this name or address."""
    DOCTOR_POLICY = 73
    """`doctor X`: the policy does not let this node there."""
    DOCTOR_KEY = 74
    """`doctor X`: a node key has expired."""
    DOCTOR_OFFLINE = 75
    """`doctor X`: the peer, or this node, is not connected."""
    DOCTOR_PATH = 76
    """`doctor X`: no packet gets to the peer, neither directly nor by relay."""
    DOCTOR_ROUTE = 77
    """`doctor X`: the route is not advertised, approved, accepted or in use."""
    DOCTOR_NAT = 78
    """`doctor X`: the router does not forward or translate."""
    DOCTOR_LAN = 79
    """`doctor X`: the router answers, but not the host behind it."""
    DOCTOR_CLOCK = 80
    """`doctor X`: this machine's clock is wrong."""

    @property
    def code(self) -> str:
        """The name as the APIs write it."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def of(cls, code: str) -> "ExitStatus":
        """Return the status of a failure code; an unknown one is ``ERROR``."""
        return cls.__members__.get(code.upper().replace("-", "_"), cls.ERROR)
