"""What can go wrong with the machine we run on."""


class HostError(Exception):
    """The machine refused something; the message says what to do."""


class FileProblemError(HostError):
    """A file of ours cannot be read or written."""


class NetlinkError(HostError):
    """The kernel refused a netlink request.

    ``errno`` is the kernel's number, the text is its own reason where it gave one.
    """

    def __init__(self, errno: int, reason: str) -> None:
        super().__init__(reason)
        self.errno = errno
