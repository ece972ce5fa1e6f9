"""The network interface of the tunnel: whose it is, its MTU and its addresses.

Our interfaces carry an alias of ours, so that we adopt and remove nothing else.
"""

import errno
from typing import Final

from appliance.dataplane.errors import (
    DataplaneError,
    DeviceGoneError,
    InterfaceTakenError,
    NotPermittedError,
)
from appliance.host import sysctl
from appliance.host.errors import HostError, NetlinkError
from appliance.host.rtmessages import IFA_F_NODAD, Address, Link
from appliance.host.rtnetlink import RtNetlink
from appliance.protocol.addresses import IPInterface

ALIAS: Final = "latchkey"
"""Written on every interface we make (``ip link`` shows it)."""


class TunnelLink:
    """One interface by name, through rtnetlink."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._rtnetlink = RtNetlink()

    def close(self) -> None:
        """Close the netlink socket."""
        self._rtnetlink.close()

    def find(self, kind: str) -> Link | None:
        """Return our interface, None when there is none of that name; another's is an error."""
        link = self._rtnetlink.link(self.interface)
        if link is None:
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
        try:
            self._rtnetlink.add_link(self.interface, kind)
        except NetlinkError as error:
            raise _explained(error, f"The interface {self.interface} cannot be made") from error

    def claim(self) -> None:
        """Mark the interface as ours and switch it on, without link-local traffic in it."""
        link = self._required()
        # Without this every start sends router solicitations into the tunnel.
        self._set_quietly(f"net/ipv6/conf/{self.interface}/addr_gen_mode", "1")
        self._set_quietly(f"net/ipv6/conf/{self.interface}/disable_ipv6", "0")
        self._set_quietly(f"net/ipv4/conf/{self.interface}/send_redirects", "0")
        self._set_quietly(f"net/ipv4/conf/{self.interface}/accept_redirects", "0")
        try:
            self._rtnetlink.set_link(link.index, up=True, alias=ALIAS)
        except NetlinkError as error:
            raise _explained(error, f"The interface {self.interface} stays off") from error

    def configure(self, mtu: int, addresses: tuple[IPInterface, ...]) -> None:
        """Make MTU and addresses what they should be; link-local addresses are the kernel's."""
        link = self._required()
        try:
            if link.mtu != mtu:
                self._rtnetlink.set_link(link.index, mtu=mtu)
            self._configure_addresses(link.index, frozenset(addresses))
        except NetlinkError as error:
            message = f"The interface {self.interface} cannot be given its addresses"
            raise _explained(error, message) from error

    def delete(self) -> None:
        """Remove the interface if it is ours; there may be none."""
        link = self._rtnetlink.link(self.interface)
        if link is None or link.alias != ALIAS:
            return
        try:
            self._rtnetlink.delete_link(link.index)
        except NetlinkError as error:
            if error.errno != errno.ENODEV:
                message = f"The interface {self.interface} cannot be removed"
                raise _explained(error, message) from error

    def _configure_addresses(self, index: int, wanted: frozenset[IPInterface]) -> None:
        present = {
            address.interface: address
            for address in self._rtnetlink.addresses()
            if address.link == index and not address.interface.ip.is_link_local
        }
        for interface in wanted - present.keys():
            if interface.version == 6 and not self._has_ipv6():
                continue
            flags = IFA_F_NODAD if interface.version == 6 else 0
            self._rtnetlink.add_address(Address(index, interface, flags))
        for interface in present.keys() - wanted:
            self._rtnetlink.delete_address(present[interface])

    def _has_ipv6(self) -> bool:
        return sysctl.read(f"net/ipv6/conf/{self.interface}/mtu") is not None

    def _required(self) -> Link:
        link = self._rtnetlink.link(self.interface)
        if link is None:
            raise DeviceGoneError(
                f"The interface {self.interface} disappeared; somebody removed it, "
                "so it will be made again."
            )
        return link

    def _set_quietly(self, name: str, value: str) -> None:
        """Set what is only good manners; a kernel without IPv6 has no such setting."""
        try:
            if sysctl.read(name) not in (None, value):
                sysctl.write(name, value)
        except HostError:
            return


def _explained(error: NetlinkError, what: str) -> DataplaneError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return NotPermittedError(
            f"{what}: this program may not administer the network; "
            "run it as root or give it CAP_NET_ADMIN."
        )
    if error.errno == errno.ENODEV:
        return DeviceGoneError(f"{what}: it disappeared.")
    return DataplaneError(f"{what}: {error}.")
