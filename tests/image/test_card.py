"""A card, a box without a screen, an owner: from the first start to a printer reached from afar.

The tests are one story and run in this order; each start under emulation takes a minute or more.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Final

import pytest

from tests.image.house import BOX, LAN, House, note_figure, start_box, traveller
from tests.netns.lab import LabError, wait_until
from tests.support.cardmachine import Card, CardMachine

pytestmark = pytest.mark.netns

PASSWORD: Final = "a calm long password"
MEANT: Final = {
    ("tcp", "*:80"): "the setup page",
    ("tcp", "0.0.0.0:22"): "SSH, for a key was given",
    ("tcp", "[::]:22"): "SSH",
    ("udp", "0.0.0.0:5353"): "mDNS",
    ("udp", "[::]:5353"): "mDNS",
    ("udp", "*:5353"): "mDNS",
    ("udp", "0.0.0.0:41641"): "WireGuard",
    ("udp", "[::]:41641"): "WireGuard",
    ("udp", "*:41641"): "WireGuard",
}
ASKERS: Final = ("avahi-daemon", "NetworkManager", "systemd-timesyn")
"""As `ss` shortens them. What comes unasked, the packet filter keeps away."""
IDLE_MB: Final = 180


def test_the_code_is_on_the_console_and_on_the_card(
    box: CardMachine, house: House, key: Path
) -> None:
    code = house.ssh(key, "cat /run/latchkey-webui/claim-code").strip()
    console = box.wait_for_console(f"Code: {code}", 120)
    assert f"http://{BOX}/" in console
    assert "\N{FULL BLOCK}" in console or "\N{LOWER HALF BLOCK}" in console
    wait_until(lambda: code in box.read("LATCHKEY-CLAIM.txt"), 60, "the note is on the card")


def test_the_file_on_the_card_was_obeyed(box: CardMachine, house: House, key: Path) -> None:
    assert house.ssh(key, "hostname").strip() == "gatekeeper"
    wait_until(lambda: house.coordinator.node("gatekeeper"), 240, "the box has joined")
    wait_until(lambda: "used, and removed" in box.read("latchkey.toml"), 60, "the key is gone")
    assert "tskey" not in box.read("latchkey.toml").replace("# auth_key", "")
    assert box.read("LATCHKEY-ERROR.txt") == ""


def test_every_service_runs(box: CardMachine, house: House, key: Path) -> None:
    wait_until(
        lambda: (
            house.try_ssh(key, "systemctl is-system-running").stdout.strip()
            in ("running", "degraded")
        ),
        240,
        "the start has ended",
    )
    assert house.ssh(key, "systemctl --failed --no-legend --plain | cat") == ""


def test_nothing_listens_but_what_is_meant(box: CardMachine, house: House, key: Path) -> None:
    listed = house.ssh(key, "ss -H -lntup").splitlines()
    sockets = {(words[0], words[4], " ".join(words[6:])) for words in map(str.split, listed)}
    assert ("tcp", "*:80") in {socket[:2] for socket in sockets}
    unmeant = {
        (protocol, address, program)
        for protocol, address, program in sockets
        if (protocol, address) not in MEANT
        # For this machine itself, or under the mesh's own policy.
        and not address.startswith(("127.", "[::1]", "100.64.", "[fd7a:115c:a1e0:"))
        # Answers to its own questions come to a port of their own.
        and not (protocol == "udp" and any(asker in program for asker in ASKERS))
    }
    assert sorted(unmeant) == []


def test_the_page_is_for_the_house_alone(box: CardMachine, house: House, key: Path) -> None:
    house.ssh(key, "ip address add 203.0.113.7/32 dev lo")
    # Somebody from the internet, whom the router let in.
    house.lab["router"].run(["ip", "address", "add", "192.0.2.77/32", "dev", "lan"])
    command = ["curl", "-s", "-m", "4", "--interface", "192.0.2.77", f"http://{BOX}/"]
    assert house.lab["router"].try_run(command).returncode != 0
    assert house.page_answers()


def test_little_memory_is_in_use(box: CardMachine, house: House, key: Path) -> None:
    time.sleep(20)
    text = house.ssh(key, "cat /proc/meminfo; ps -eo pss,comm --sort=-pss | head -25")
    (box.folder / "memory.txt").write_text(text)
    values = {name: int(kb) for name, kb in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    in_use_mb = (values["MemTotal"] - values["MemAvailable"]) / 1024
    note_figure("idle_mb", in_use_mb)
    assert in_use_mb <= IDLE_MB


def test_a_claimed_box_shows_its_code_no_more(box: CardMachine, house: House, key: Path) -> None:
    code = house.ssh(key, "cat /run/latchkey-webui/claim-code").strip()
    jar = house.laptop.directory / "cookies"
    curl = ["curl", "-sS", "-m", "60", "-b", str(jar), "-c", str(jar)]
    page = house.laptop.run([*curl, f"http://{BOX}/claim?code={code}"], timeout_s=90)
    form = page.partition('action="/claim"')[2]
    [(name, token)] = re.findall(r'type="hidden" name="([^"]+)" value="([^"]+)"', form)[:1]
    fields = {name: token, "code": code, "password": PASSWORD, "again": PASSWORD}
    words = [word for pair in fields.items() for word in ("--data-urlencode", "=".join(pair))]
    answer = house.laptop.run(
        [
            *curl,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            f"Origin: http://{BOX}",
            *words,
            f"http://{BOX}/claim",
        ],
        timeout_s=90,
    )
    assert answer == "303"
    assert house.try_ssh(key, "test -e /run/latchkey-webui/claim-code").returncode != 0
    wait_until(lambda: box.read("LATCHKEY-CLAIM.txt") == "", 60, "the note is gone")


def test_the_printer_is_reached_through_the_box(box: CardMachine, house: House, key: Path) -> None:
    coordinator = house.coordinator
    wait_until(lambda: coordinator.node("gatekeeper"), 240, "the box has joined")
    coordinator.admin("routes", "approve", "gatekeeper", LAN)
    phone = traveller(house)
    phone.wait_for_peer("gatekeeper", 60)

    def page() -> str:
        try:
            return house.phone.http_get(house.printer.ip, timeout_s=10)
        except (OSError, LabError):
            return ""

    assert wait_until(page, 180, "the printer's page loads from afar").startswith("printer sees")
    link = json.loads(house.ssh(key, "ip -json -details link show latchkey0"))[0]
    assert link["linkinfo"]["info_kind"] == "wireguard"
    assert "wireguard-go" not in house.ssh(key, "ps -eo args")


def test_all_state_is_on_the_data_partition(box: CardMachine, house: House, key: Path) -> None:
    mounts = house.ssh(key, "findmnt --list --noheadings --output TARGET,FSTYPE,OPTIONS")
    kinds = {line.split()[0]: line.split()[1:] for line in mounts.splitlines()}
    assert kinds["/"][0] == "overlay"
    assert kinds["/run/initramfs/latchkey/system"][0] == "squashfs"
    assert kinds["/run/initramfs/latchkey/data"][0] == "ext4"
    assert kinds["/boot/firmware"][1].startswith("ro")
    size_mib = int(house.ssh(key, "df -m --output=size /run/initramfs/latchkey/data | tail -1"))
    assert size_mib > 3000  # grown to the end of a card of 6 GiB


def test_the_box_is_itself_again_after_a_power_cut(
    box: CardMachine, house: House, key: Path
) -> None:
    before = house.ssh(key, "cat /etc/machine-id /var/lib/latchkey-box/ssh/*.pub; latchkey ip")
    house.ssh(key, "echo half > /var/lib/latchkey-box/unfinished")
    box.cut_power()
    start_box(box, house, key)
    wait_until(
        lambda: house.try_ssh(key, "latchkey ip").returncode == 0, 180, "the box is in its mesh"
    )
    after = house.ssh(key, "cat /etc/machine-id /var/lib/latchkey-box/ssh/*.pub; latchkey ip")
    assert after == before
    assert house.try_ssh(key, "test -e /run/latchkey-webui/claim-code").returncode != 0
    assert house.ssh(key, "systemctl --failed --no-legend --plain | cat") == ""
    assert house.ssh(key, "hostname").strip() == "gatekeeper"


def test_a_mangled_file_no_network_and_no_clock(card: Card, house: House, tmp_path: Path) -> None:
    machine = CardMachine(card, house.wire, tmp_path)
    machine.put("latchkey.toml", 'hostname = "lonely\n[wifi]\ncountry = "DE"\n')
    machine.start(cable=False, clock="1970-01-01T00:00:00", shell=True)
    try:
        console = machine.wait_for_console("Code: ")
        assert "No network yet" in console
        note = wait_until(lambda: machine.read("LATCHKEY-ERROR.txt"), 60, "the card says why")
        assert "latchkey.toml cannot be read" in note
        assert "line 1" in note
        machine.wait_for_console("latchkey.toml cannot be read")
        assert machine.in_shell("hostname").strip() == "latchkey"
        assert int(machine.in_shell("date +%Y")) >= 2025
        assert machine.in_shell("ss -H -lnt 'sport = :22'") == ""
        assert machine.in_shell("getent shadow root | cut -d: -f2").strip() in ("*", "!*", "!")
        code = machine.in_shell(
            "curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1/ || "
            "python3 -c 'import urllib.request as u; "
            'print(u.urlopen("http://127.0.0.1/claim").status)\''
        )
        assert re.search(r"200|30\d", code)
        assert machine.in_shell("systemctl --failed --no-legend --plain | cat") == ""
    finally:
        machine.cut_power()


def test_a_second_card_from_the_same_inputs_has_the_same_bytes(packed: Path) -> None:
    again = os.environ.get("LATCHKEY_CARD_AGAIN", "")
    if not again:
        pytest.skip("needs a second card: python -m tests.image --again")
    first, second = (
        json.loads(path.with_name(f"{path.stem}.json").read_text())
        for path in (packed, Path(again))
    )
    assert second["system"] == first["system"]
    assert second["image"]["sha256"] == first["image"]["sha256"]
