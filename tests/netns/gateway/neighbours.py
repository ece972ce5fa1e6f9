"""The other firewalls of a home's machine, as their own programs load them."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.boxes import Box, join
from tests.support.trees import Tenant

BRIDGE, CONTAINERS, CONTAINER, PUBLISHED = "docker0", "172.17.0.0/16", "172.17.0.2", 8080
"""Docker's own defaults, and a port that a container offers to the world."""
SERVICE = 8443
"""A port of the machine itself that its owner opened to the world."""


def plug_in_container(home: Box, container: Box) -> None:
    """Give Docker's bridge a container, and let the machine forward, as dockerd does."""
    home.run("sysctl -qw net.ipv4.ip_forward=1")
    home.ip(
        f"link add {BRIDGE} type bridge",
        f"link set {BRIDGE} up",
        f"addr add 172.17.0.1/16 dev {BRIDGE}",
    )
    plug_into_bridge(home, container)


def plug_into_bridge(home: Box, container: Box) -> None:
    """Give a bridge that dockerd made a container."""
    join(home, "veth1", container, "eth0")
    home.ip(f"link set veth1 master {BRIDGE}")
    container.ip(f"addr add {CONTAINER}/16 dev eth0", "route add default via 172.17.0.1")


def dockerd_starts(system: Tenant) -> None:
    """The program itself, without containers."""
    system.run("rm -f /var/run/docker.pid /root/log")
    system.run(["sh", "-c", "dockerd --storage-driver=vfs >/root/log 2>&1 </dev/null &"])
    _wait_for(lambda: "API listen" in system.run("cat /root/log", check=False), "dockerd")


def dockerd_stops(system: Tenant) -> None:
    system.run(["sh", "-c", "kill $(pidof dockerd)"])
    _wait_for(lambda: not system.run("pidof dockerd", check=False), "dockerd's end")


def _wait_for(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline, f"{what} does not come"
        time.sleep(0.1)


def _batch(box: Box, *commands: str) -> None:
    for command in commands:
        box.run(command)


def docker_starts(home: Box) -> None:
    """What dockerd 26 (Debian 13) runs when it starts, in its order."""
    f, n = "iptables-nft -t filter", "iptables-nft -t nat"
    for chain in ("DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"):
        if home.attempt(f"{f} -n -L {chain}").returncode:
            home.run(f"{f} -N {chain}")
    home.attempt(f"{n} -N DOCKER")
    _batch(
        home,
        f"{f} -A DOCKER-ISOLATION-STAGE-1 -j RETURN",
        f"{f} -A DOCKER-ISOLATION-STAGE-2 -j RETURN",
        f"{n} -A POSTROUTING -s {CONTAINERS} ! -o {BRIDGE} -j MASQUERADE",
        f"{n} -A DOCKER -i {BRIDGE} -j RETURN",
        f"{f} -I FORWARD -i {BRIDGE} -o {BRIDGE} -j ACCEPT",
        f"{f} -I FORWARD -i {BRIDGE} ! -o {BRIDGE} -j ACCEPT",
        f"{n} -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        f"{n} -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
        f"{f} -I FORWARD -o {BRIDGE} -j DOCKER",
        f"{f} -I FORWARD -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"{f} -I FORWARD -j DOCKER-ISOLATION-STAGE-1",
        f"{f} -I DOCKER-ISOLATION-STAGE-1 -i {BRIDGE} ! -o {BRIDGE} -j DOCKER-ISOLATION-STAGE-2",
        f"{f} -I DOCKER-ISOLATION-STAGE-2 -o {BRIDGE} -j DROP",
        f"{f} -P FORWARD DROP",
    )
    docker_puts_its_users_first(home)


def docker_guards_ipv6(home: Box) -> None:
    """What it does to IPv6 that is not its own."""
    home.run("ip6tables-nft -t filter -P FORWARD DROP")
    docker_puts_its_users_first(home, "ip6tables-nft")


def docker_puts_its_users_first(home: Box, ip: str = "iptables-nft") -> None:
    """What dockerd runs last at a start, and again for every new network."""
    f = f"{ip} -t filter"
    if home.attempt(f"{f} -n -L DOCKER-USER").returncode:
        home.run(f"{f} -N DOCKER-USER")
    if home.attempt(f"{f} -C DOCKER-USER -j RETURN").returncode:
        home.run(f"{f} -A DOCKER-USER -j RETURN")
    home.attempt(f"{f} -D FORWARD -j DOCKER-USER")
    home.run(f"{f} -I FORWARD -j DOCKER-USER")


def docker_stops(home: Box) -> None:
    """What dockerd takes away before it starts anew; users' own rules stay."""
    f, n = "iptables-nft -t filter", "iptables-nft -t nat"
    _batch(
        home,
        f"{n} -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        f"{n} -D OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
        f"{n} -D POSTROUTING -s {CONTAINERS} ! -o {BRIDGE} -j MASQUERADE",
        f"{n} -D POSTROUTING -p tcp -s {CONTAINER} -d {CONTAINER} --dport 80 -j MASQUERADE",
        f"{n} -F DOCKER",
        f"{f} -D FORWARD -j DOCKER-ISOLATION-STAGE-1",
        f"{f} -D FORWARD -o {BRIDGE} -j DOCKER",
        f"{f} -D FORWARD -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"{f} -D FORWARD -i {BRIDGE} ! -o {BRIDGE} -j ACCEPT",
        f"{f} -D FORWARD -i {BRIDGE} -o {BRIDGE} -j ACCEPT",
        f"{f} -F DOCKER",
        f"{f} -F DOCKER-ISOLATION-STAGE-1",
        f"{f} -F DOCKER-ISOLATION-STAGE-2",
    )


def docker_28_starts(home: Box) -> None:
    """What dockerd 28 leaves after its start: chains of their own for each step of the way."""
    f, n = "iptables-nft -t filter", "iptables-nft -t nat"
    steps = ("DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD")
    isolation = ("DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2")
    for chain in ("DOCKER", *steps, *isolation, "DOCKER-USER"):
        if home.attempt(f"{f} -n -L {chain}").returncode:
            home.run(f"{f} -N {chain}")
        elif chain != "DOCKER-USER":
            home.run(f"{f} -F {chain}")
    if home.attempt(f"{n} -N DOCKER").returncode:
        for chain in ("DOCKER", "PREROUTING", "OUTPUT", "POSTROUTING"):
            home.run(f"{n} -F {chain}")
    for chain in ("DOCKER-FORWARD", "DOCKER-USER"):
        home.attempt(f"{f} -D FORWARD -j {chain}")
    _batch(
        home,
        f"{f} -P FORWARD DROP",
        f"{f} -I FORWARD -j DOCKER-FORWARD",
        f"{f} -I FORWARD -j DOCKER-USER",
        f"{f} -A DOCKER-FORWARD -j DOCKER-CT",
        f"{f} -A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1",
        f"{f} -A DOCKER-FORWARD -j DOCKER-BRIDGE",
        f"{f} -A DOCKER-FORWARD -i {BRIDGE} -j ACCEPT",
        f"{f} -A DOCKER-BRIDGE -o {BRIDGE} -j DOCKER",
        f"{f} -A DOCKER-CT -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"{f} -A DOCKER-ISOLATION-STAGE-1 -i {BRIDGE} ! -o {BRIDGE} -j DOCKER-ISOLATION-STAGE-2",
        f"{f} -A DOCKER-ISOLATION-STAGE-2 -o {BRIDGE} -j DROP",
        f"{f} -A DOCKER ! -i {BRIDGE} -o {BRIDGE} -j DROP",
        f"{n} -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        f"{n} -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
        f"{n} -A POSTROUTING -s {CONTAINERS} ! -o {BRIDGE} -j MASQUERADE",
    )


def docker_28_publishes(home: Box) -> None:
    """What it adds for a port; nobody reaches the container's own address from elsewhere."""
    home.attempt(f"iptables-nft -t raw -D PREROUTING -d {CONTAINER}/32 ! -i {BRIDGE} -j DROP")
    _batch(
        home,
        f"iptables-nft -t raw -A PREROUTING -d {CONTAINER}/32 ! -i {BRIDGE} -j DROP",
        f"iptables-nft -t nat -A DOCKER ! -i {BRIDGE} -p tcp -m tcp --dport {PUBLISHED} -j DNAT "
        f"--to-destination {CONTAINER}:80",
        f"iptables-nft -t filter -I DOCKER -d {CONTAINER}/32 ! -i {BRIDGE} -o {BRIDGE} -p tcp "
        "-m tcp --dport 80 -j ACCEPT",
    )


def docker_publishes(home: Box) -> None:
    """What `docker run -p 8080:80` adds."""
    _batch(
        home,
        f"iptables-nft -t nat -A DOCKER -p tcp -d 0/0 --dport {PUBLISHED} -j DNAT "
        f"--to-destination {CONTAINER}:80 ! -i {BRIDGE}",
        f"iptables-nft -t filter -A DOCKER ! -i {BRIDGE} -o {BRIDGE} -p tcp -d {CONTAINER} "
        "--dport 80 -j ACCEPT",
        f"iptables-nft -t nat -A POSTROUTING -p tcp -s {CONTAINER} -d {CONTAINER} --dport 80 "
        "-j MASQUERADE",
    )


def ufw_starts(system: Tenant) -> None:
    """Its defaults: nothing comes in or through but what the owner allows."""
    system.run(f"ufw allow {SERVICE}/tcp")
    system.run("ufw --force enable")


def firewalld_starts(system: Tenant) -> None:
    """firewalld on a bus of its own, with the owner's service open in the default zone."""
    system.run("dbus-daemon --system --fork")
    system.start("firewalld --nofork --nopid")
    wait_for_firewalld(system)
    system.run(f"firewall-cmd --permanent --add-port={SERVICE}/tcp")
    system.run("firewall-cmd --reload")


def wait_for_firewalld(system: Tenant) -> None:
    _wait_for(
        lambda: "running" in system.run("firewall-cmd --state", check=False).split(), "firewalld"
    )
