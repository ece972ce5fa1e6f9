"""DHCP on a lab's cable: busybox hands out one address, and a client keeps it by renewing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import suppress
from typing import Final

from tests.netns.lab import Host, Program, wait_until

LEASE_S: Final = 6
"""Shorter than the client cares for: it renews about every 20 s, and when it is told to."""
SOON_S: Final = 15.0

_EVENT: Final = re.compile(r"^event (bound|renew) ", re.MULTILINE)
_SCRIPT: Final = """\
#!/bin/sh
# What udhcpc calls when its lease changes.
case $1 in
deconfig) ip -4 address flush dev "$interface" ;;
bound | renew)
    ip address replace "$ip/$mask" dev "$interface"
    ip route replace default via "$router" dev "$interface"
    ;;
esac
echo "event $1 $ip"
"""


def why_no_dhcp() -> str | None:
    """None when DHCP can be played here, else the reason for a named skip."""
    return None if shutil.which("busybox") else "needs busybox for DHCP"


def serve(router: Host, client: Host) -> Program:
    """Have a router hand out the address that a lab's plan gives to this machine."""
    inside = next(i for i in client.plan.links[0].addresses if i.version == 4)
    gateway = next(r.gateway for r in client.plan.routes if r.gateway.version == 4)
    found = json.loads(router.run(["ip", "-j", "route", "get", str(inside.ip)]))
    leases = router.directory / "udhcpd.leases"
    leases.touch()
    config = router.directory / "udhcpd.conf"
    lines = [
        *(f"start {inside.ip}", f"end {inside.ip}", f"interface {found[0]['dev']}"),
        *(f"lease_file {leases}", f"pidfile {router.directory / 'udhcpd.pid'}"),
        *(f"min_lease {LEASE_S}", f"option lease {LEASE_S}"),
        *(f"option subnet {inside.netmask}", f"option router {gateway}"),
    ]
    config.write_text("\n".join(lines) + "\n", encoding="ascii")
    return router.start("udhcpd", ["busybox", "udhcpd", "-f", str(config)])


class Lease:
    """A machine's DHCP client, as a network manager starts and ends it."""

    def __init__(self, host: Host, interface: str) -> None:
        self._host = host
        self._interface = interface
        self._client: Program | None = None
        self._earlier = 0
        self._script = host.directory / "udhcpc.script"
        self._script.write_text(_SCRIPT, encoding="ascii")
        self._script.chmod(0o755)

    def start(self) -> None:
        """Begin anew, as when the cable is plugged in."""
        self.end()
        words = ["busybox", "udhcpc", "-f", "-t", "100", "-T", "1", "-A", "1"]
        words += ["-i", self._interface, "-s", str(self._script)]
        self._client = self._host.start("udhcpc", words)
        self._earlier = self.given()

    def end(self) -> None:
        """Stop, and leave what it configured."""
        if self._client is not None:
            self._client.kill()
            self._client = None

    def ask(self) -> None:
        """Have it renew at once, if it has a lease; before, the signal could end it."""
        if self._client is not None and self.given() > self._earlier:
            with suppress(ProcessLookupError):
                os.kill(self._client.pid, signal.SIGUSR1)

    def given(self) -> int:
        """How often a lease has been given or prolonged so far."""
        return len(_EVENT.findall(self._client.text())) if self._client is not None else 0

    def wait_for_more(self) -> None:
        """Renew, and wait until the server has agreed."""
        self.wait()
        before = self.given()
        self.ask()
        wait_until(lambda: self.given() > before, SOON_S, "the lease is renewed")

    def wait(self) -> None:
        """Wait for this client's first lease."""
        wait_until(lambda: self.given() > self._earlier, SOON_S, "there is a lease")
