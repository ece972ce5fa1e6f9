from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

from appliance.host import pyroute2_light, rtmessages

ROOT = Path(__file__).resolve().parents[4]


def run(script: str) -> str:
    """Have a fresh interpreter run it, where a warning is an error too."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_the_message_classes_come_without_the_rest_of_the_library() -> None:
    loaded = run(
        "import sys, appliance.host.rtnetlink\n"
        "print(*(name for name in sys.modules if name.split('.')[0] == 'pyroute2'))"
    ).split()
    assert "pyroute2.netlink.rtnl.rtmsg" in loaded
    assert len(loaded) < 35
    assert not {"pyroute2.iproute", "pyroute2.ndb", "pyroute2.netns"} & set(loaded)


def test_whoever_asks_the_package_for_more_gets_the_whole_library() -> None:
    script = (
        "import appliance.host.rtnetlink as ours\n"
        "import pyroute2\n"
        "assert not hasattr(pyroute2, '__wrapped__') and '__getattr__' in vars(pyroute2)\n"
        "from pyroute2 import IPRoute\n"
        "assert pyroute2.netlink.rtnl.rtmsg.rtmsg\n"
        "with pyroute2.IPRoute() as whole, ours.RtNetlink() as mine:\n"
        "    assert [link['index'] for link in whole.get_links()] == [\n"
        "        link.index for link in mine.links()\n"
        "    ]\n"
        "print(hasattr(pyroute2, 'nothing of this name'))"
    )
    assert run(script) == "False\n"


def test_a_library_that_is_loaded_already_is_used_as_it_is() -> None:
    script = (
        "import pyroute2\n"
        "from pyroute2.netlink.rtnl.rtmsg import rtmsg\n"
        "rtmsg()\n"
        "import ipaddress, sys\n"
        "from appliance.host import rtmessages\n"
        "assert sys.modules['pyroute2'] is pyroute2 and '__getattr__' not in vars(pyroute2)\n"
        "route = rtmessages.Route(ipaddress.ip_network('10.0.0.0/8'), 5170, link=7)\n"
        "print(rtmessages.parse_route(rtmessages.encode_route(route)) == route)"
    )
    assert run(script) == "True\n"


def test_attributes_that_we_do_not_read_stay_undecoded() -> None:
    row = bytes(12) + b"\x08\x00\x04\x00\x07\x00\x00\x00" + b"\x08\x00\x03\x00\x08\x00\x00\x00"
    message = pyroute2_light.RouteMessage(row, length=len(row))
    message.decode()
    assert [slot.name for slot in message["attrs"]] == ["RTA_OIF", "UNKNOWN"]


def test_our_numbers_are_those_of_the_library() -> None:
    # Not imported above: there the sorted order would load the whole library first.
    rtnl = importlib.import_module("pyroute2.netlink.rtnl")
    theirs = dict(rtnl.rtypes) | vars(rtnl)
    for name in ("fibmsg", "ifaddrmsg", "ifinfmsg", "rtmsg"):
        theirs |= vars(importlib.import_module(f"pyroute2.netlink.rtnl.{name}"))
    prefixes = ("RTM_", "IFF_", "IFA_F_", "RTN_", "RT_SCOPE_", "FR_ACT_")
    ours = {name: value for name, value in vars(rtmessages).items() if name.startswith(prefixes)}
    assert ours == {name: theirs[name] for name in ours}
    assert len(ours) > 15
