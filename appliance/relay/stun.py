"""The STUN responder: tells a node the address that its datagrams come from.

It answers from the address that was asked, which on a host with several addresses takes the
kernel's packet information; and it answers only what nodes send, so it is of no use as a reflector.
"""

import asyncio
import logging
import socket
import struct
from ipaddress import IPv6Address
from typing import Final

from appliance.protocol.addresses import AddrPort, parse_ip
from appliance.protocol.errors import ProtocolError
from appliance.protocol.stun import encode_response, parse_request
from appliance.relay.counters import RelayCounters

_log = logging.getLogger(__name__)

BATCH: Final = 64
"""Datagrams read at one wake-up, so that a flood of them does not starve the relay."""

MAX_REQUEST: Final = 512
"""A node's request has 40 bytes."""

_IP_PKTINFO: Final = 8  # socket.IP_PKTINFO is new in Python 3.14
_PKTINFO4: Final = struct.Struct("=i4s4s")  # interface, local address, destination
_PKTINFO6: Final = struct.Struct("=16sI")  # local address, interface
_ANCILLARY_SPACE: Final = 256

_Ancillary = list[tuple[int, int, bytes]]


def stun_answer(datagram: bytes, sender: AddrPort) -> bytes | None:
    """Answer a node's request; None for anything else."""
    try:
        tx_id = parse_request(datagram)
    except ProtocolError:
        return None
    mapped = sender.ip.ipv4_mapped if isinstance(sender.ip, IPv6Address) else None
    return encode_response(tx_id, AddrPort(mapped or sender.ip, sender.port))


class StunResponder:
    """Answers on one bound UDP socket."""

    def __init__(self, sock: socket.socket, counters: RelayCounters) -> None:
        """Take a bound, non-blocking socket, which `run` closes."""
        self._socket = sock
        self._counters = counters
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    @property
    def address(self) -> AddrPort:
        """Where it answers."""
        name = self._socket.getsockname()
        return AddrPort(parse_ip(name[0]), name[1])

    def close(self) -> None:
        """Close a responder that does not run."""
        self._socket.close()

    async def run(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._answer_batch)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(self._socket)
            self._socket.close()

    def _answer_batch(self) -> None:
        for _ in range(BATCH):
            try:
                data, ancillary, _, sender = self._socket.recvmsg(MAX_REQUEST, _ANCILLARY_SPACE)
            except BlockingIOError:
                return
            except OSError as error:
                _log.debug("STUN: %s", error)
                return
            self._answer(data, ancillary, sender)

    def _answer(self, data: bytes, ancillary: _Ancillary, sender: tuple[str, int]) -> None:
        ip = parse_ip(sender[0].partition("%")[0])
        answer = stun_answer(data, AddrPort(ip, sender[1]))
        if answer is None:
            return
        try:
            self._socket.sendmsg([answer], answer_from(ancillary), 0, sender)
        except OSError as error:
            _log.debug("STUN: no answer to %s: %s", sender[0], error)
            return
        self._counters.stun_answers += 1


def answer_from(ancillary: _Ancillary) -> _Ancillary:
    """Turn the packet information of a request into that of its answer."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, local, _ = _PKTINFO4.unpack_from(data)
            return [(level, kind, _PKTINFO4.pack(0, local, bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            local, interface = _PKTINFO6.unpack_from(data)
            is_link_local = IPv6Address(local).is_link_local
            return [(level, kind, _PKTINFO6.pack(local, interface if is_link_local else 0))]
    return []
