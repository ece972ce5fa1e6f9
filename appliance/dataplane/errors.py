"""What can go wrong with the WireGuard device, split by what the owner would do."""


class DataplaneError(Exception):
    """The device could not be made, changed or read; the message says what to do."""


class NotPermittedError(DataplaneError):
    """The process may not administer the network."""


class NoTunError(DataplaneError):
    """The kernel offers no TUN device, which wireguard-go needs."""


class NoWireGuardError(DataplaneError):
    """Neither the kernel nor an installed program speaks WireGuard."""


class PortInUseError(DataplaneError):
    """Another program holds the UDP port."""


class InterfaceTakenError(DataplaneError):
    """The interface name belongs to something that is not ours."""


class DeviceGoneError(DataplaneError):
    """The device disappeared, or its program stopped, while we used it."""
