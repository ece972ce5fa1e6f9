from ipaddress import ip_network

from appliance.coordinator import hostinfo as limits
from appliance.coordinator.hostinfo import clip_endpoints, clip_hostinfo, introduction
from appliance.protocol.tailcfg import Hostinfo, NetInfo, Service, encode


def test_an_ordinary_description_is_kept_without_its_net_info() -> None:
    info = Hostinfo(hostname="box", os="linux", services=(Service(proto="peerapi4", port=9),))
    assert clip_hostinfo(info) == info
    assert clip_hostinfo(Hostinfo(hostname="box", net_info=NetInfo())) == Hostinfo(hostname="box")


def test_whatever_a_node_says_of_itself_stays_small() -> None:
    huge = Hostinfo(
        hostname="h" * 10_000,
        os="o" * 10_000,
        services=tuple(Service(proto="p" * 300, port=n) for n in range(500)),
        routable_ips=tuple(ip_network(f"10.{n // 256}.{n % 256}.0/24") for n in range(5000)),
        ssh_host_keys=("k" * 10_000,) * 100,
        request_tags=("t",) * 10_000,
        location={"x": "y" * 10_000},
    )
    kept = clip_hostinfo(huge)
    assert len(kept.hostname) == limits.MAX_TEXT
    assert len(kept.routable_ips or ()) == limits.MAX_ROUTES
    assert kept.services is None
    assert kept.ssh_host_keys is None
    assert kept.location is None
    assert len(encode(kept)) < 16_000


def test_an_introduction_has_only_what_an_admin_recognises_a_device_by() -> None:
    info = Hostinfo(hostname="h" * 999, os="linux", backend_log_id="x", cloud="y" * 999)
    assert introduction(info) == Hostinfo(hostname="h" * limits.MAX_TEXT, os="linux")


def test_endpoints_are_counted_and_checked() -> None:
    good = tuple(f"192.0.2.1:{n + 1}" for n in range(100))
    assert clip_endpoints(good) == good[: limits.MAX_ENDPOINTS]
    assert clip_endpoints(("x", "[::1]:5", "1.2.3.4:99999")) == ("[::1]:5",)
