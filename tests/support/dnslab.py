"""Queries by hand, from inside a lab host, and whether a wire stayed without any."""

from __future__ import annotations

import sys

from tests.netns.lab import Capture, Host

_ASK = """
import socket, sys
server, name, kind, transport, seconds = sys.argv[1:]
family = socket.AF_INET6 if ":" in server else socket.AF_INET
labels = b"".join(bytes((len(p),)) + p.encode() for p in name.split("."))
head = b"\\x12\\x34\\x01\\x00\\0\\1" + bytes(6)
query = head + labels + b"\\0" + int(kind).to_bytes(2) + b"\\0\\1"
sock = socket.socket(family, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM)
sock.settimeout(float(seconds))
try:
    sock.connect((server, 53))
    sock.sendall(query if transport == "udp" else len(query).to_bytes(2) + query)
    reply = sock.recv(65535)
    while transport == "tcp" and len(reply) < 2 + int.from_bytes(reply[:2]):
        reply += sock.recv(65535)
    reply = reply[2:] if transport == "tcp" else reply
    print(reply[3] & 15, int(bool(reply[2] & 2)), int.from_bytes(reply[6:8]), len(reply))
except OSError as error:
    print("no answer:", error)
"""


def ask(
    host: Host, server: str, name: str, kind: int = 1, transport: str = "udp", timeout_s: float = 8
) -> str:
    """`<rcode> <truncated> <answers> <bytes>`, or `no answer: ...`."""
    arguments = (server, name, str(kind), transport, str(timeout_s))
    return host.run([sys.executable, "-c", _ASK, *arguments]).strip()


_EMPTY_PCAP = 24


def is_silent(recording: Capture) -> bool:
    """Stop recording; whether no packet of any protocol matched."""
    recording.stop()
    return recording.file.stat().st_size == _EMPTY_PCAP
