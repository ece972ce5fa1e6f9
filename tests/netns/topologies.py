"""Topologies that several tests, the demo and the benchmarks share."""

from __future__ import annotations

from dataclasses import dataclass

from tests.netns.lab import PORT_RESTRICTED, Host, Lab, Nat, Router


@dataclass(frozen=True, slots=True)
class HomeAndHostel:
    """The world of the demo, as `home_and_hostel` draws it."""

    lab: Lab
    vps: Host
    web: Host
    scanner: Host
    hostel: Router
    laptop: Host
    phone: Host
    home: Router
    appliance: Host
    printer: Host
    camera: Host


def home_and_hostel(
    lab: Lab, *, hostel_nat: Nat = PORT_RESTRICTED, home_nat: Nat = PORT_RESTRICTED
) -> HomeAndHostel:
    """The house, the traveller, and a small VPS between them; built and ready.

       10.77.0.0/24              internet               192.168.1.0/24, fd4c:7a11::/64
     laptop ── hostel ────┬──────────────────┬──── home ──┬── appliance
     phone ─┘  198.51.100.2                  192.0.2.2    ├── printer
                     vps ─┴─ web ── scanner  2001:db8:2::2└── camera
                        203.0.113.0/24

    The hostel has IPv4 only; home has one public address of each family and translates both.
    """
    datacentre = lab.public("datacentre", "203.0.113.0/24", "2001:db8:113::/64")
    city_isp = lab.public("city-isp", "198.51.100.0/24")
    home_isp = lab.public("home-isp", "192.0.2.0/24", "2001:db8:2::/64")
    hostel_lan = lab.lan("hostel-lan", "10.77.0.0/24")
    home_lan = lab.lan("home-lan", "192.168.1.0/24", "fd4c:7a11::/64")
    world = HomeAndHostel(
        lab=lab,
        vps=datacentre.host("vps", 10),
        web=datacentre.host("web", 80),
        scanner=datacentre.host("scanner", 66),
        hostel=lab.router("hostel", outside=city_isp, number=2, inside=hostel_lan, nat=hostel_nat),
        laptop=hostel_lan.host("laptop", 21),
        phone=hostel_lan.host("phone", 22),
        home=lab.router(
            "home", outside=home_isp, number=2, inside=home_lan, nat=home_nat, nat6=True
        ),
        appliance=home_lan.host("appliance", 10),
        printer=home_lan.host("printer", 20),
        camera=home_lan.host("camera", 30),
    )
    lab.build()
    return world


@dataclass(frozen=True, slots=True)
class TwoHomes:
    """Two nodes behind a router each, and a VPS, as `two_homes` draws it."""

    lab: Lab
    vps: Host
    left_router: Router
    left: Host
    right_router: Router
    right: Host


def two_homes(
    lab: Lab, *, left_nat: Nat = PORT_RESTRICTED, right_nat: Nat = PORT_RESTRICTED
) -> TwoHomes:
    """Two private networks and a VPS; built and ready.

    left ── left-router ──┬── internet ──┬── right-router ── right
    10.1.0.2  198.51.100.2     vps      192.0.2.2         10.2.0.2
                           203.0.113.10
    """
    datacentre = lab.public("datacentre", "203.0.113.0/24")
    left_isp = lab.public("left-isp", "198.51.100.0/24")
    right_isp = lab.public("right-isp", "192.0.2.0/24")
    left_lan = lab.lan("left-lan", "10.1.0.0/24")
    right_lan = lab.lan("right-lan", "10.2.0.0/24")
    world = TwoHomes(
        lab=lab,
        vps=datacentre.host("vps", 10),
        left_router=lab.router(
            "left-router", outside=left_isp, number=2, inside=left_lan, nat=left_nat
        ),
        left=left_lan.host("left", 2),
        right_router=lab.router(
            "right-router", outside=right_isp, number=2, inside=right_lan, nat=right_nat
        ),
        right=right_lan.host("right", 2),
    )
    lab.build()
    return world


@dataclass(frozen=True, slots=True)
class Journey:
    """A traveller with both families and two homes, as `journey` draws it."""

    lab: Lab
    vps: Host
    web: Host
    resolver: Host
    hostel: Router
    laptop: Host
    phone: Host
    home: Router
    appliance: Host
    printer: Host
    cabin: Router
    stove: Host


def journey(lab: Lab) -> Journey:
    """A hostel whose guests have their own global IPv6, and two homes to leave through.

       10.77.0.0/24, 2001:db8:77::/64  internet          192.168.1.0/24, fd4c:7a11::/64
     laptop ── hostel ────┬──────────────┬──────── home ──┬── appliance
     phone ─┘  198.51.100.2              │   192.0.2.2    └── printer
                     vps ─┴─ web, dns    └─────── cabin ───── stove
                      203.0.113.0/24         192.0.2.3       192.168.7.0/24

    Without a mesh the laptop leaves by IPv6 untranslated. Home has both families, the cabin IPv4
    only: its stove has no IPv6 address but the ones that every machine gives itself.
    """
    datacentre = lab.public("datacentre", "203.0.113.0/24", "2001:db8:113::/64")
    city_isp = lab.public("city-isp", "198.51.100.0/24", "2001:db8:5::/64")
    home_isp = lab.public("home-isp", "192.0.2.0/24", "2001:db8:2::/64")
    hostel_lan = lab.lan("hostel-lan", "10.77.0.0/24", "2001:db8:77::/64")
    home_lan = lab.lan("home-lan", "192.168.1.0/24", "fd4c:7a11::/64")
    cabin_lan = lab.lan("cabin-lan", "192.168.7.0/24")
    world = Journey(
        lab=lab,
        vps=datacentre.host("vps", 10),
        web=datacentre.host("web", 80),
        resolver=datacentre.host("dns", 53),
        hostel=lab.router("hostel", outside=city_isp, number=2, inside=hostel_lan),
        laptop=hostel_lan.host("laptop", 21),
        phone=hostel_lan.host("phone", 22),
        home=lab.router("home", outside=home_isp, number=2, inside=home_lan, nat6=True),
        appliance=home_lan.host("appliance", 10),
        printer=home_lan.host("printer", 20),
        cabin=lab.router("cabin", outside=home_isp, number=3, inside=cabin_lan),
        stove=cabin_lan.host("stove", 10),
    )
    lab.build()
    return world
