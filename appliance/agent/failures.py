"""Which exit status a failure of a room has."""

from typing import Final

from appliance.agent.errors import AgentError
from appliance.dataplane import errors as dataplane
from appliance.exit_status import ExitStatus
from appliance.gateway import errors as gateway
from appliance.host.errors import HostError
from appliance.underlay import errors as underlay

MACHINE_ERRORS: Final = (
    AgentError,
    dataplane.DataplaneError,
    gateway.GatewayError,
    underlay.UnderlayError,
    HostError,
)
"""What can go wrong when the machine is made to match a plan; their messages are for people."""

_STATUS: Final[dict[type[Exception], ExitStatus]] = {
    dataplane.NotPermittedError: ExitStatus.NOT_ROOT,
    dataplane.NoTunError: ExitStatus.NO_TUN,
    dataplane.NoWireGuardError: ExitStatus.NO_WIREGUARD,
    dataplane.PortInUseError: ExitStatus.PORT_IN_USE,
    dataplane.InterfaceTakenError: ExitStatus.INTERFACE_TAKEN,
    gateway.NotPermittedError: ExitStatus.NOT_ROOT,
    gateway.NftMissingError: ExitStatus.NFT_MISSING,
    gateway.RulesetRefusedError: ExitStatus.NFT_REFUSED,
    underlay.NotPermittedError: ExitStatus.NOT_ROOT,
}


def status_of(error: Exception) -> ExitStatus:
    """Return the number of a failure; one without its own is ``ERROR``."""
    if isinstance(error, AgentError):
        return error.status
    return _STATUS.get(type(error), ExitStatus.ERROR)
