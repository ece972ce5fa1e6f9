"""A name server that knows every name: each is at its own address, and it says who asked.

Usage: resolver.py ADDRESS [NAME=ADDRESS ...]. Answers A with the name's address, or with ADDRESS,
any TXT with more than fits into UDP, and nothing else; prints for each query
`asked NAME TYPE by CLIENT over udp|tcp`.
"""

from __future__ import annotations

import ipaddress
import socketserver
import struct
import sys
import threading

A, TXT = 1, 16
LONG = bytes((200,)) + b"x" * 200


def answer(query: bytes, client: str, transport: str, known: dict[str, bytes]) -> bytes:
    """The whole answer, cut to its header for UDP when it is too long."""
    labels, offset = [], 12
    while query[offset]:
        labels.append(query[offset + 1 : offset + 1 + query[offset]].decode("ascii", "replace"))
        offset += 1 + query[offset]
    (kind,) = struct.unpack_from("!H", query, offset + 1)
    # One write a line: two threads must not share one.
    sys.stdout.write(f"asked {'.'.join(labels)} {kind} by {client} over {transport}\n")
    sys.stdout.flush()
    question = query[12 : offset + 5]
    address = known.get(".".join(labels), known[""])
    values = {A: [address], TXT: [LONG] * 10}.get(kind, [])
    if transport == "udp" and kind == TXT:
        return query[:2] + struct.pack("!HHHHH", 0x8380, 1, 0, 0, 0) + question
    records = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 5, len(value)) + value for value in values
    )
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(values), 0, 0) + question + records


class Udp(socketserver.BaseRequestHandler):
    """One query, one answer."""

    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(
            answer(data, self.client_address[0], "udp", self.server.known), self.client_address
        )


class Tcp(socketserver.StreamRequestHandler):
    """Queries until the client leaves."""

    def handle(self) -> None:
        while head := self.rfile.read(2):
            data = self.rfile.read(int.from_bytes(head))
            reply = answer(data, self.client_address[0], "tcp", self.server.known)
            self.wfile.write(len(reply).to_bytes(2) + reply)


class UdpServer(socketserver.ThreadingUDPServer):
    """UDP, bound to the address, so that answers come from it."""

    daemon_threads = True


class TcpServer(socketserver.ThreadingTCPServer):
    """TCP on the same port."""

    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    """Serve until killed."""
    address = sys.argv[1]
    known = {"": address} | dict(pair.split("=") for pair in sys.argv[2:])
    servers = [UdpServer((address, 53), Udp), TcpServer((address, 53), Tcp)]
    for server in servers:
        server.known = {name: ipaddress.IPv4Address(one).packed for name, one in known.items()}
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("serving", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
