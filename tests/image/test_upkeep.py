"""What a box does by itself for years: its name, its updates, its radio, its watchdog.

They run on the box of test_card.py, after its story.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.image.house import BOX, SSID, WIFI_PASSWORD, House, start_box
from tests.netns.lab import wait_until
from tests.support.aptarchive import Package, Signer, make_archive, make_package
from tests.support.cardmachine import CardMachine

pytestmark = pytest.mark.netns

MIRROR_PORT: Final = 8081
WATCHDOG: Final = (
    "org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager "
    "RuntimeWatchdogUSec"
)
"""How systemd's D-Bus names the time after which the watchdog bites."""
ROOM_WIFI: Final = f"""
set -e
modprobe mac80211_hwsim radios=2
ip netns add neighbour
phy=$(cat /sys/class/net/wlan1/phy80211/name)
iw phy "$phy" set netns name neighbour
in="ip netns exec neighbour"
$in ip address add 10.9.9.1/24 dev wlan1
cat >/run/ap.conf <<END
network={{
  ssid="{SSID}"
  mode=2
  frequency=2412
  key_mgmt=WPA-PSK
  proto=RSN
  pairwise=CCMP
  psk="{WIFI_PASSWORD}"
}}
END
$in wpa_supplicant -B -i wlan1 -c /run/ap.conf
: >/run/ap.leases
cat >/run/ap.udhcpd <<END
interface wlan1
start 10.9.9.7
end 10.9.9.7
option subnet 255.255.255.0
lease_file /run/ap.leases
pidfile /run/ap.pid
END
$in busybox udhcpd /run/ap.udhcpd
"""
"""An access point on the second of two radios of thin air, with a DHCP server."""

ASK_FOR_NAME: Final = """
import socket
head = bytes([0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
question = head + b"\\x0agatekeeper\\x05local\\0" + bytes([0, 1, 0, 1])
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(3)
for attempt in range(10):
    asked.sendto(question, ("224.0.0.251", 5353))
    try:
        print(asked.recv(9000).hex())
        break
    except TimeoutError:
        pass
"""
"""One multicast question (RFC 6762); `dig` does not take an answer from another address."""


def test_the_house_finds_it_by_name(box: CardMachine, house: House) -> None:
    answer = bytes.fromhex(house.laptop.run([sys.executable, "-c", ASK_FOR_NAME], timeout_s=60))
    assert bytes(map(int, BOX.split("."))) in answer
    ask = ["dig", "+short", "+time=3", "+tries=5", "-p", "5353", f"@{BOX}"]
    services = house.laptop.run([*ask, "PTR", "_http._tcp.local"], timeout_s=30)
    assert "gatekeeper" in services


def test_memory_is_stretched_and_the_log_bounded(box: CardMachine, house: House, key: Path) -> None:
    [swap] = house.ssh(key, "swapon --show=NAME --noheadings --raw").split()
    assert swap == "/dev/zram0"
    said = house.ssh(key, "journalctl -b --no-pager -t systemd-journald")
    assert re.search(r"System Journal \(/var/log/journal/\w+\) is .*, max 64M", said)
    assert "/var/log/journal" in house.ssh(key, "findmnt --list --noheadings --output TARGET")


def test_it_joins_the_wifi_of_its_file(box: CardMachine, house: House, key: Path) -> None:
    house.ssh(key, ROOM_WIFI)

    def connected() -> bool:
        fields = "GENERAL.STATE,IP4.ADDRESS"
        said = house.try_ssh(key, f"nmcli -t -f {fields} device show wlan0").stdout
        return "100 (connected)" in said and "10.9.9.7/24" in said

    wait_until(connected, 120, "the box is in the Wi-Fi")
    assert f"SSID: {SSID}" in house.ssh(key, "iw dev wlan0 link")
    assert "country DE" in house.ssh(key, "iw reg get")
    assert "Power save: off" in house.ssh(key, "iw dev wlan0 get power_save")
    modes = house.ssh(key, "stat -c '%a %U' /etc/NetworkManager/system-connections/*")
    assert set(modes.splitlines()) == {"600 root"}
    assert WIFI_PASSWORD not in house.ssh(key, "journalctl -b --no-pager -o cat")
    # The cable and its page are there as before.
    assert house.page_answers()
    house.ssh(key, "modprobe -r mac80211_hwsim; ip netns delete neighbour")


@pytest.fixture
def mirror(house: House, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A mirror in the house: security updates signed by "Debian", and others; its URL and key."""
    signer = Signer(tmp_path / "gpg", "archive@example.org")
    folder = tmp_path / "www"
    components = ("main",)
    security = [
        make_package(folder / "security", "less", "9999"),
        # These come with the card.
        Package("firmware-brcm80211", "9999"),
        Package("linux-image-arm64", "9999"),
    ]
    others = [make_package(folder / "debian", "nano-tiny", "9999")]
    label = "Origin: Debian\nLabel: Debian"
    fields = f"{label}-Security\n"
    make_archive(folder / "security", "trixie-security", components, security, signer, fields)
    make_archive(folder / "debian", "trixie", components, others, signer, f"{label}\n")
    house.printer.start(
        "mirror", ["python3", "-m", "http.server", "-d", str(folder), str(MIRROR_PORT)]
    )
    yield f"http://{house.printer.ip}:{MIRROR_PORT}", signer.key
    signer.stop()


def test_security_updates_install_themselves_and_nothing_else_does(
    box: CardMachine, house: House, key: Path, mirror: tuple[str, Path]
) -> None:
    url, signed_by = mirror
    trusted = base64.b64encode(signed_by.read_bytes()).decode()
    source = "deb [signed-by=/usr/share/keyrings/house.gpg]"
    house.ssh(
        key,
        f"echo {trusted} | base64 -d >/usr/share/keyrings/house.gpg\n"
        "rm /etc/apt/sources.list.d/*\n"
        "cat >/etc/apt/sources.list.d/house.list <<END\n"
        f"{source} {url}/security trixie-security main\n"
        f"{source} {url}/debian trixie main\nEND\n",
    )
    version = "dpkg-query -W -f '${Package} ${Version}\\n' less nano-tiny firmware-brcm80211"
    before = dict(line.split() for line in house.ssh(key, version).splitlines())
    timers = json.loads(house.ssh(key, "systemctl list-timers --output=json"))
    assert {"apt-daily.timer", "apt-daily-upgrade.timer"} <= {timer["unit"] for timer in timers}
    # What those timers start.
    house.ssh(key, "systemctl start apt-daily.service", timeout_s=600)
    house.ssh(key, "systemctl start apt-daily-upgrade.service", timeout_s=900)
    after = dict(line.split() for line in house.ssh(key, version).splitlines())
    assert after == before | {"less": "9999"}, house.ssh(
        key, "tail -50 /var/log/unattended-upgrades/*.log"
    )
    assert house.ssh(key, "systemctl --failed --no-legend --plain | cat") == ""


def test_a_box_that_hangs_is_started_again(box: CardMachine, house: House, key: Path) -> None:
    assert house.ssh(key, "cat /sys/class/watchdog/watchdog0/state").strip() == "active"
    said = house.ssh(key, f"busctl get-property {WATCHDOG}")
    assert said.split() == ["t", str(5 * 60 * 1_000_000)]
    # Five minutes are long for a test.
    house.ssh(key, f"busctl set-property {WATCHDOG} t 20000000")
    hang = "echo 0 >/proc/sys/kernel/panic; sleep 1; echo c >/proc/sysrq-trigger"
    house.ssh(key, f"nohup sh -c '{hang}' >/dev/null 2>&1 </dev/null & exit 0")
    # The emulator ends where the board would start again.
    box.wait_until_off()


def test_so_is_one_whose_system_crashes(box: CardMachine, house: House, key: Path) -> None:
    start_box(box, house, key)
    house.ssh(key, f"busctl set-property {WATCHDOG} t 0")  # or it would do the same, later
    assert house.ssh(key, "cat /sys/class/watchdog/watchdog0/state").strip() == "inactive"
    house.try_ssh(key, "kill -SEGV 1")
    box.wait_until_off()
