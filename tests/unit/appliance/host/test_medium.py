from pathlib import Path

import pytest

from appliance.host.medium import Counters, Medium, observe_medium, read_counters

# The columns of Linux 6.12; the last four are left out.
PROC_NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:    1320      16    0    0    0     0          0         0     1320      16    0    0
latchkey0: 1042884    9023    0    1    0     0          0         0 25599120   18022    0    0
"""


@pytest.mark.parametrize(
    ("entries", "kind", "medium"),
    [
        ((), "1", Medium.ETHERNET),
        (("phy80211",), "1", Medium.WIFI),
        (("wireless",), "1", Medium.WIFI),
        ((), "512", Medium.OTHER),
    ],
)
def test_sysfs_tells_what_an_interface_is(
    tmp_path: Path, entries: tuple[str, ...], kind: str, medium: Medium
) -> None:
    (tmp_path / "x0").mkdir()
    (tmp_path / "x0" / "type").write_text(f"{kind}\n")
    for entry in entries:
        (tmp_path / "x0" / entry).mkdir()
    assert observe_medium("x0", tmp_path) is medium


def test_what_sysfs_does_not_show_counts_as_ethernet(tmp_path: Path) -> None:
    assert observe_medium("eth0", tmp_path) is Medium.ETHERNET


def test_counters_are_those_of_the_interface_named(tmp_path: Path) -> None:
    (tmp_path / "dev").write_text(PROC_NET_DEV)
    assert read_counters("latchkey0", tmp_path / "dev") == Counters(1042884, 25599120)
    assert read_counters("latchkey1", tmp_path / "dev") is None


def test_the_kernel_of_this_machine_is_understood() -> None:
    assert read_counters("lo") is not None
