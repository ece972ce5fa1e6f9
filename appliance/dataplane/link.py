"""The network interface of the tunnel: whose it is, its MTU and its addresses.

Our interfaces carry an alias of ours, so that we adopt and remove nothing else.
"""

import contextlib
import errno
from collections.abc import Iterator
from typing import Final

from appliance.dataplane.errors import (
    DataplaneError,
    DeviceGoneError,
    InterfaceTakenError,
    NotPermittedError,
)
from appliance.host import sysctl
from appliance.host.errors import HostError, NetlinkError
from appliance.host.rtmessages import IFA_F_DEPRECATED, IFA_F_NODAD, Address, Link
from appliance.host.rtnetlink import RtNetlink
from appliance.protocol.addresses import IPInterface

ALIAS: Final = "latchkey"
"""Written on every interface we make (``ip link`` shows it)."""


class TunnelLink:
    """One interface by name, through rtnetlink."""

    def __init__(self, interface: str) -> None:
        self.interface = interface

    def find(self, kind: str) -> Link | None:
        """Return our interface, None when there is none of that name; another's is an error.

        One of ours from a time when another driver was in use is removed.
        """
        with RtNetlink() as rtnetlink:
            link = rtnetlink.link(self.interface)
        if link is None:
            return None
        if link.alias == ALIAS and link.kind != kind:
            self.delete()
            return None
        # Without alias and switched off: an earlier run died between making and claiming it.
        unclaimed = link.alias is None and not link.is_up
        if link.kind != kind or not (link.alias == ALIAS or unclaimed):
            raise InterfaceTakenError(
                f"There is a network interface {self.interface} already that is not ours "
                f"({link.kind or 'a real device'}); remove it, or choose another interface name."
            )
        return link

    def create(self, kind: str) -> None:
        """Make a virtual interface."""
        with self._doing("cannot be made") as rtnetlink:
            rtnetlink.add_link(self.interface, kind)

    def claim(self) -> None:
        """Mark the interface as ours and switch it on, without link-local traffic in it."""
        # Without the first, every start sends router solicitations into the tunnel.
        self._set_quietly(f"net/ipv6/conf/{self.interface}/addr_gen_mode", "1")
        self._set_quietly(f"net/ipv6/conf/{self.interface}/disable_ipv6", "0")
        self._set_quietly(f"net/ipv4/conf/{self.interface}/send_redirects", "0")
        self._set_quietly(f"net/ipv4/conf/{self.interface}/accept_redirects", "0")
        with self._doing("stays off") as rtnetlink:
            rtnetlink.set_link(self._required(rtnetlink).index, up=True, alias=ALIAS)

    def configure(self, mtu: int, addresses: tuple[IPInterface, ...]) -> None:
        """Make MTU and addresses what they should be; link-local addresses are the kernel's."""
        with self._doing("cannot be given its addresses") as rtnetlink:
            link = self._required(rtnetlink)
            if link.mtu != mtu:
                rtnetlink.set_link(link.index, mtu=mtu)
            self._configure_addresses(rtnetlink, link.index, addresses)

    def delete(self) -> None:
        """Remove the interface if it is ours; there may be none."""
        with self._doing("cannot be removed") as rtnetlink:
            link = rtnetlink.link(self.interface)
            if link is None or link.alias != ALIAS:
                return
            try:
                rtnetlink.delete_link(link.index)
            except NetlinkError as error:
                if error.errno != errno.ENODEV:  # it went by itself meanwhile
                    raise

    def _configure_addresses(
        self, rtnetlink: RtNetlink, index: int, wanted: tuple[IPInterface, ...]
    ) -> None:
        """Give the addresses in their order: packets of ours come from the first of a family."""
        present = {
            address.interface: address
            for address in rtnetlink.addresses()
            if address.link == index and not address.interface.ip.is_link_local
        }
        first = next((one for one in wanted if one.version == 6), None)
        for interface in wanted:
            if interface in present or (interface.version == 6 and not self._has_ipv6()):
                continue
            flags = IFA_F_NODAD if interface.version == 6 else 0
            if interface.version == 6 and interface != first:
                flags |= IFA_F_DEPRECATED  # else the kernel would rather send from it
            rtnetlink.add_address(Address(index, interface, flags))
        for interface in present.keys() - set(wanted):
            rtnetlink.delete_address(present[interface])

    def _has_ipv6(self) -> bool:
        return sysctl.read(f"net/ipv6/conf/{self.interface}/mtu") is not None

    def _required(self, rtnetlink: RtNetlink) -> Link:
        link = rtnetlink.link(self.interface)
        if link is None:
            raise DeviceGoneError(
                f"The interface {self.interface} disappeared; somebody removed it, "
                "so it has to be opened again."
            )
        return link

    def _set_quietly(self, name: str, value: str) -> None:
        """Set what is only good manners; a kernel without IPv6 has no such setting."""
        with contextlib.suppress(HostError):
            if sysctl.read(name) not in (None, value):
                sysctl.write(name, value)

    @contextlib.contextmanager
    def _doing(self, failure: str) -> Iterator[RtNetlink]:
        """Turn the kernel's refusal into a sentence about this interface."""
        try:
            with RtNetlink() as rtnetlink:
                yield rtnetlink
        except NetlinkError as error:
            raise _explained(error, f"The interface {self.interface} {failure}") from error


def _explained(error: NetlinkError, what: str) -> DataplaneError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermittedError(
            f"{what}: this program may not administer the network; "
            "run it as root or give it CAP_NET_ADMIN."
        )
    if error.errno == errno.ENODEV:
        return DeviceGoneError(f"{what}: it disappeared.")
    return DataplaneError(f"{what}: {error}.")
