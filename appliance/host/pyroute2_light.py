"""pyroute2's rtnetlink messages without the rest of pyroute2.

``import pyroute2`` executes a package that loads the whole library: 170 modules, which cost the
agent 11.4 MB (PSS) and 0.1 s. The message classes alone are 27 modules, 1.6 MB and 0.02 s (measured
with 0.7.12; docs/decisions, "pyroute2 without its facade"). So the package is entered in
``sys.modules`` with its path, but not executed: its modules can then be imported one by one, and
whoever asks the package itself for more gets the whole library after all. A package that is loaded
already is used as it is.

Works with 0.7.7 (Debian 13) and 0.7.12, whose message classes are the same.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any, Final

_PACKAGE: Final = "pyroute2"


def _message_modules(*names: str) -> tuple[Any, ...]:
    """Import modules of messages, of the whole library only if it is loaded already."""
    entered = None if _PACKAGE in sys.modules else _enter_package()
    modules = tuple(importlib.import_module(f"{_PACKAGE}.netlink.rtnl.{name}") for name in names)
    if entered is not None:
        _execute_on_demand(entered)
    return modules


def _enter_package() -> ModuleType | None:
    """Enter the package unexecuted; None when it is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        return None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    return package


def _execute_on_demand(package: ModuleType) -> None:
    """Have the package executed when it is asked for a name that it does not have (PEP 562)."""

    def execute(name: str) -> object:
        spec = package.__spec__
        if spec is None or spec.loader is None or name.startswith("__"):
            raise AttributeError(name)
        del vars(package)["__getattr__"]
        spec.loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = execute


def _trimmed(original: Any, attributes: str, **changes: object) -> Any:
    """Derive a message class that knows only these attributes.

    None of pyroute2's decoders then runs for what we do not read: it costs time, and the one of
    RTA_ENCAP never returns when the length is odd.
    """
    numbered = (
        entry if isinstance(entry[0], int) else (number, *entry)
        for number, entry in enumerate(original.nla_map)
    )
    known = tuple(entry for entry in numbered if entry[1] in attributes.split())
    return type(original.__name__, (original,), {"nla_map": known, **changes})


_link, _address, _route, _rule = _message_modules("ifinfmsg", "ifaddrmsg", "rtmsg", "fibmsg")
_next_hop: Final = _trimmed(_route.nh, "RTA_GATEWAY")

# Without a header: what our socket takes and gives begins after netlink's own.
LinkMessage: Final = _trimmed(
    _link.ifinfmsg, "IFLA_IFNAME IFLA_MTU IFLA_MASTER IFLA_LINKINFO IFLA_IFALIAS", header=None
)
AddressMessage: Final = _trimmed(_address.ifaddrmsg, "IFA_ADDRESS IFA_LOCAL IFA_FLAGS", header=None)
RouteMessage: Final = _trimmed(
    _route.rtmsg,
    "RTA_DST RTA_OIF RTA_GATEWAY RTA_PRIORITY RTA_MULTIPATH RTA_TABLE",
    header=None,
    get_nh=staticmethod(lambda *_, **__: _next_hop),
)
RuleMessage: Final = _trimmed(
    _rule.fibmsg, "FRA_PRIORITY FRA_FWMARK FRA_FWMASK FRA_TABLE FRA_PROTOCOL", header=None
)
