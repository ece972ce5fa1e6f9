"""WireGuard without Latchkey: which one this machine has, and tunnels made by hand with `wg`."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

from appliance.dataplane.discover import SEARCH_PATH, find_wireguard_go
from appliance.dataplane.errors import NoWireGuardError
from appliance.dataplane.kernel import kernel_has_wireguard
from tests.netns.lab import Host, wait_until
from tests.support.peers import PEERS

_MTU = 1280


@functools.cache
def wireguard_go() -> Path | None:
    """The best wireguard-go here, `make peers`' one included; None: the kernel does it itself."""
    if kernel_has_wireguard():
        return None
    return find_wireguard_go(directories=(PEERS, *SEARCH_PATH)).path


def why_no_wireguard() -> str | None:
    """None when this machine can make tunnels, else the reason for a named skip."""
    try:
        wireguard_go()
    except NoWireGuardError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class End:
    """One end of a tunnel made by hand; `outside` is where the other end reaches it."""

    host: Host
    address: str
    outside: str
    port: int


def make_tunnel(interface: str, one: End, other: End, env: dict[str, str] | None = None) -> None:
    """A tunnel made with `ip` and `wg set`, between two ends whose NATs keep their ports.

    `env` is for wireguard-go, where the kernel has no WireGuard.
    """
    keys = {end: _new_key() for end in (one, other)}
    for end, peer in ((one, other), (other, one)):
        _make_device(end.host, interface, env)
        private = end.host.directory / f"{interface}.key"
        private.touch(mode=0o600)
        private.write_text(keys[end], encoding="ascii")
        end.host.run(
            [
                *("wg", "set", interface, "private-key", str(private)),
                *("listen-port", str(end.port), "peer", _public(keys[peer])),
                *("endpoint", f"{peer.outside}:{peer.port}"),
                *("allowed-ips", f"{peer.address}/32", "persistent-keepalive", "1"),
            ]
        )
        end.host.run(["ip", "addr", "add", f"{end.address}/32", "dev", interface])
        end.host.run(["ip", "link", "set", interface, "mtu", str(_MTU), "up"])
        end.host.run(["ip", "route", "add", f"{peer.address}/32", "dev", interface])
    wait_until(lambda: _shaken(one, interface) and _shaken(other, interface), 10, "a handshake")


def _make_device(host: Host, interface: str, env: dict[str, str] | None) -> None:
    program = wireguard_go()
    if program is None:
        host.run(["ip", "link", "add", interface, "type", "wireguard"])
        return
    host.start(f"wireguard-go-{interface}", [str(program), "-f", interface], env)
    socket = host.directory / "wireguard" / f"{interface}.sock"
    wait_until(socket.is_socket, 5, f"wireguard-go serves {interface}")


def _shaken(end: End, interface: str) -> bool:
    times = end.host.run(["wg", "show", interface, "latest-handshakes"])
    return times.split()[-1] != "0"


def _new_key() -> str:
    return subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout


def _public(private: str) -> str:
    done = subprocess.run(
        ["wg", "pubkey"], input=private, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
