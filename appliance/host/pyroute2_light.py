"""pyroute2's rtnetlink messages without the rest of pyroute2.

``import pyroute2`` executes a package that loads the whole library: 170 modules, which cost the
agent 11.4 MB (PSS) and 0.1 s. The message classes alone are 27 modules, 1.6 MB and 0.02 s (measured
with 0.7.12; docs/decisions, "pyroute2 without its facade"). So the package is entered in
``sys.modules`` with its path, but not executed, while those modules are imported. Afterwards it is
taken out with them, so that nobody meets half a package: who imports pyroute2 later gets a whole
one. A package that is loaded already is used as it is.

Works with 0.7.7 (Debian 13) and 0.7.12, whose message classes are the same.
"""

import importlib
import importlib.util
import sys
from typing import Any, Final

_PACKAGE: Final = "pyroute2"


def _import_messages(*names: str) -> list[Any]:
    """Import modules of messages; the whole library serves only where it is loaded already."""
    if _PACKAGE in sys.modules:
        return [importlib.import_module(f"{_PACKAGE}.netlink.rtnl.{name}") for name in names]
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError("pyroute2 is missing; install python3-pyroute2.", name=_PACKAGE)
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    try:
        return _import_messages(*names)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]


def _trimmed(original: Any, attributes: str, **changes: object) -> Any:
    """Derive a message class that knows only these attributes.

    Then no decoder runs for what we do not read, which is a third of a link's time; and that of
    RTA_ENCAP never returns from some lengths.
    """
    numbered = (
        entry if isinstance(entry[0], int) else (number, *entry)
        for number, entry in enumerate(original.nla_map)
    )
    known = tuple(entry for entry in numbered if entry[1] in attributes.split())
    return type(original.__name__, (original,), {"nla_map": known, **changes})


_link, _address, _route, _rule = _import_messages("ifinfmsg", "ifaddrmsg", "rtmsg", "fibmsg")
_next_hop: Final = _trimmed(_route.nh, "RTA_GATEWAY")

# Without a header: what our socket takes and gives begins after netlink's own.
LinkMessage: Final = _trimmed(
    _link.ifinfmsg, "IFLA_IFNAME IFLA_MTU IFLA_MASTER IFLA_LINKINFO IFLA_IFALIAS", header=None
)
AddressMessage: Final = _trimmed(
    _address.ifaddrmsg, "IFA_ADDRESS IFA_LOCAL IFA_FLAGS IFA_CACHEINFO", header=None
)
RouteMessage: Final = _trimmed(
    _route.rtmsg,
    "RTA_DST RTA_OIF RTA_GATEWAY RTA_PRIORITY RTA_MULTIPATH RTA_TABLE",
    header=None,
    get_nh=staticmethod(lambda *_, **__: _next_hop),
)
RuleMessage: Final = _trimmed(
    _rule.fibmsg,
    "FRA_DST FRA_PRIORITY FRA_FWMARK FRA_FWMASK FRA_TABLE FRA_PROTOCOL FRA_SUPPRESS_PREFIXLEN",
    header=None,
)
