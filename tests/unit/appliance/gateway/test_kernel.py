from ipaddress import ip_network

from appliance.gateway.kernel import uplinks
from appliance.host.rtmessages import IFF_UP, RT_TABLE_MAIN, Link, Route

LO = Link(1, "lo", 65536, IFF_UP)
ETH = Link(2, "eth0", 1500, IFF_UP)
BRIDGE = Link(3, "br0", 1500, IFF_UP, "bridge")
TUNNEL = Link(4, "latchkey0", 1280, IFF_UP, "wireguard")


def default(link: Link) -> Route:
    return Route(ip_network("0.0.0.0/0"), RT_TABLE_MAIN, link=link.index)


def test_every_real_interface_may_hear_a_router() -> None:
    assert uplinks([LO, ETH, BRIDGE, TUNNEL], [], "latchkey0") == ("eth0",)


def test_one_that_is_made_by_software_may_when_it_leads_out() -> None:
    main = [default(BRIDGE), default(TUNNEL)]
    assert uplinks([LO, ETH, BRIDGE, TUNNEL], main, "latchkey0") == ("br0", "eth0")
