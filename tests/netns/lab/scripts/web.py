"""A web page that says who serves it and who asks: the lab's printers, cameras and web servers.

Usage: web.py NAME [PORT]. Answers every GET with one line: `<NAME> sees <client address>`.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Both families on one port."""

    address_family = socket.AF_INET6
    daemon_threads = True
    page_name = ""

    def server_bind(self) -> None:
        """Accept IPv4 on the IPv6 socket; skip the base class's reverse look-up."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)


class Page(BaseHTTPRequestHandler):
    """The one page."""

    def do_GET(self) -> None:
        """Say who serves and who asks."""
        assert isinstance(self.server, Server)
        client = ipaddress.IPv6Address(self.client_address[0])
        body = f"{self.server.page_name} sees {client.ipv4_mapped or client}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until killed."""
    server = Server(("::", int(sys.argv[2]) if len(sys.argv) > 2 else 80), Page)
    server.page_name = sys.argv[1]
    print("serving", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
