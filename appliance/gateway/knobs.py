"""Where the settings of a gateway lives: kernel settings and features of interfaces, by one name.

``net.ipv4.ip_forward`` is a kernel setting (``host.sysctl``), ``ethtool eth0 rx-gro-list`` a
feature, which reads "on" or "off".
"""

from pathlib import Path
from typing import Final

from appliance.host import sysctl
from appliance.host.errors import HostError
from appliance.host.ethtool import Ethtool

ON: Final = "on"
OFF: Final = "off"

_FEATURE: Final = "ethtool "
_RESET_TOGETHER: Final = {"net.ipv4.ip_forward": ("net.ipv4.conf.all.accept_redirects",)}
"""The kernel gives the second a new value whenever the first changes, whatever it was."""


def feature(device: str, name: str) -> str:
    """Name a feature of an interface."""
    return f"{_FEATURE}{device} {name}"


class Knobs:
    """Reads and writes settings of this network namespace; a refusal is a ``HostError``."""

    def __init__(self, root: Path = sysctl.ROOT) -> None:
        self._root = root

    def read(self, name: str) -> str | None:
        """Read a setting; None when this machine has none of that name."""
        if not name.startswith(_FEATURE):
            return sysctl.read(name, self._root)
        device, wanted = _split(name)
        try:
            with Ethtool() as ethtool:
                return ON if wanted in ethtool.active_features(device) else OFF
        except HostError:
            return None

    def write(self, name: str, value: str) -> None:
        """Change a setting, and nothing else with it."""
        if name.startswith(_FEATURE):
            self._write_feature(name, value)
            return
        neighbours = {
            other: sysctl.read(other, self._root) for other in _RESET_TOGETHER.get(name, ())
        }
        sysctl.write(name, value, self._root)
        for other, before in neighbours.items():
            if before is not None and sysctl.read(other, self._root) != before:
                sysctl.write(other, before, self._root)

    def _write_feature(self, name: str, value: str) -> None:
        device, wanted = _split(name)
        with Ethtool() as ethtool:
            ethtool.set_features(device, {wanted: value == ON})
            if (wanted in ethtool.active_features(device)) != (value == ON):
                raise HostError(f"The driver of {device} keeps {wanted} as it is.")


def _split(name: str) -> tuple[str, str]:
    device, wanted = name.removeprefix(_FEATURE).split(" ", 1)
    return device, wanted
