from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.host import pyroute2_light

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
    script = (
        "import sys\n"
        "class Witness:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        print(name)\n"
        "sys.meta_path.insert(0, Witness())\n"
        "import appliance.host.rtnetlink"
    )
    loaded = run(script).split()
    theirs = {name for name in loaded if name.partition(".")[0] == "pyroute2"}
    assert "pyroute2.netlink.rtnl.rtmsg" in theirs
    assert len(theirs) < 35
    assert not {"pyroute2.iproute", "pyroute2.ndb", "pyroute2.netns"} & theirs


def test_who_imports_the_library_later_gets_all_of_it() -> None:
    script = (
        "import sys\n"
        "import appliance.host.rtnetlink as ours\n"
        "assert not [name for name in sys.modules if name.startswith('pyroute2')]\n"
        "import pyroute2\n"
        "assert pyroute2.netlink.rtnl.rtmsg.rtmsg\n"
        "with pyroute2.IPRoute() as whole, ours.RtNetlink() as mine:\n"
        "    theirs = [link['index'] for link in whole.get_links()]\n"
        "    print(theirs == [link.index for link in mine.links()])"
    )
    assert run(script) == "True\n"


def test_a_library_that_is_loaded_already_is_used_as_it_is() -> None:
    script = (
        "import ipaddress, sys, pyroute2\n"
        "from pyroute2.netlink.rtnl.rtmsg import rtmsg\n"
        "rtmsg()\n"
        "from appliance.host import pyroute2_light, rtmessages\n"
        "assert sys.modules['pyroute2'] is pyroute2\n"
        "assert issubclass(pyroute2_light.RouteMessage, rtmsg)\n"
        "route = rtmessages.Route(ipaddress.ip_network('10.0.0.0/8'), 5170, link=7)\n"
        "print(rtmessages.parse_route(rtmessages.encode_route(route)) == route)"
    )
    assert run(script) == "True\n"


def test_a_missing_library_is_named() -> None:
    script = (
        "import importlib.util\n"
        "importlib.util.find_spec = lambda name: None\n"
        "try:\n"
        "    import appliance.host.pyroute2_light\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)"
    )
    assert run(script) == "pyroute2 is missing; install python3-pyroute2.\n"


def test_attributes_that_we_do_not_read_stay_undecoded() -> None:
    row = bytes(12) + b"\x08\x00\x04\x00\x07\x00\x00\x00" + b"\x08\x00\x03\x00\x08\x00\x00\x00"
    message = pyroute2_light.RouteMessage(row, length=len(row))
    message.decode()
    assert [slot.name for slot in message["attrs"]] == ["RTA_OIF", "UNKNOWN"]


def test_our_numbers_are_those_of_the_library() -> None:
    script = (
        "from appliance.host import rtmessages\n"
        "from pyroute2.netlink import rtnl\n"
        "from pyroute2.netlink.rtnl import fibmsg, ifaddrmsg, ifinfmsg, rtmsg\n"
        "theirs = dict(rtnl.rtypes)\n"
        "for module in (rtnl, fibmsg, ifaddrmsg, ifinfmsg, rtmsg):\n"
        "    theirs |= vars(module)\n"
        "prefixes = ('RTM_', 'IFF_', 'IFA_F_', 'RTN_', 'RT_SCOPE_', 'FR_ACT_')\n"
        "ours = {k: v for k, v in vars(rtmessages).items() if k.startswith(prefixes)}\n"
        "print(len(ours) > 20, {k: v for k, v in ours.items() if v != theirs[k]})"
    )
    assert run(script) == "True {}\n"
