"""The small internet of the fleet: a server and a relay, two houses, their owner, a traveller."""

from __future__ import annotations

from dataclasses import dataclass

from tests.netns.lab import Host, Lab, Router

_FORWARD_SSH = """\
table ip owner {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    iifname "wan" tcp dport 22 dnat to {to}
  }}
}}
"""
HOMES = {"home": "192.168.1.0/24", "parents": "192.168.2.0/24"}


@dataclass(frozen=True, slots=True)
class World:
    """Everything in `small_internet`."""

    lab: Lab
    vps: Host
    relay: Host
    admin: Host
    mirror: Host
    hostel: Router
    laptop: Host
    home_router: Router
    home: Host
    printer: Host
    parents_router: Router
    parents: Host
    camera: Host


def small_internet(lab: Lab) -> World:
    """Two houses, and those who look after them; built and ready.

                     192.168.1.0/24                              203.0.113.0/24
      printer ─┬─ home-router ──────────┬──── internet ────┬──── vps, relay
         home ─┘  192.0.2.2             │                  ├──── mirror (Debian packages)
                     192.168.2.0/24     │                  └──── admin (runs Ansible)
       camera ─┬─ parents-router ───────┤
      parents ─┘  192.0.2.3             └──── hostel ──── laptop
                                              192.0.2.4   10.77.0.0/24

    The routers let nothing in but SSH to the gateways, which the owner forwarded for this.
    """
    datacentre = lab.public("datacentre", "203.0.113.0/24")
    isp = lab.public("isp", "192.0.2.0/24")
    home_lan = lab.lan("home-lan", HOMES["home"])
    parents_lan = lab.lan("parents-lan", HOMES["parents"])
    hostel_lan = lab.lan("hostel-lan", "10.77.0.0/24")
    world = World(
        lab=lab,
        vps=datacentre.host("vps", 10),
        relay=datacentre.host("relay", 20),
        admin=datacentre.host("admin", 66),
        mirror=datacentre.host("mirror", 80),
        hostel=lab.router("hostel", outside=isp, number=4, inside=hostel_lan),
        laptop=hostel_lan.host("laptop", 21),
        home_router=lab.router("home-router", outside=isp, number=2, inside=home_lan),
        home=home_lan.host("home", 10),
        printer=home_lan.host("printer", 20),
        parents_router=lab.router("parents-router", outside=isp, number=3, inside=parents_lan),
        parents=parents_lan.host("parents", 10),
        camera=parents_lan.host("camera", 20),
    )
    lab.build()
    for router, gateway in ((world.home_router, world.home), (world.parents_router, world.parents)):
        router.nft(_FORWARD_SSH.format(to=gateway.ip))
    return world
