"""What latchkey.toml changes in this machine: name, SSH, Wi-Fi. Each step may be repeated."""

import contextlib
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.firstboot.config import BoxConfig, Wifi
from appliance.firstboot.errors import FirstbootError
from appliance.host.files import make_private_directory, remove, write_atomic

_COMMAND_S: Final = 60
_PUBLIC: Final = 0o644
_CONNECTION: Final = "latchkey-wifi"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are; tests have them elsewhere."""

    root: Path = Path("/")
    kept: Path = Path("/run/initramfs/latchkey/data/kept")
    """What another system on this card begins with; absent when this is no card of ours."""

    @property
    def box(self) -> Path:
        """Our own folder."""
        return self.root / "var/lib/latchkey-box"

    @property
    def ssh(self) -> Path:
        """Where sshd finds its keys."""
        return self.box / "ssh"

    @property
    def connection(self) -> Path:
        """The Wi-Fi of latchkey.toml."""
        folder = self.root / "etc/NetworkManager/system-connections"
        return folder / f"{_CONNECTION}.nmconnection"

    @property
    def country(self) -> Path:
        """Which country's channels the kernel uses."""
        return self.root / "etc/modprobe.d/latchkey-wifi.conf"

    def disk_problem(self) -> str:
        """Return what the initramfs found wrong with the data partition, as one line."""
        file = self.kept.parents[1] / "status"
        return " ".join(file.read_text(encoding="utf-8").split()) if file.exists() else ""

    def system_name(self) -> str:
        """Which of the systems of this card runs; empty when this is no card of ours."""
        file = self.root / "usr/lib/latchkey-card/build"
        return file.read_text(encoding="ascii").strip() if file.exists() else ""


def run(*command: str) -> None:
    """Run a program of the system; a failure is one sentence."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_COMMAND_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FirstbootError(f"{command[0]} does not run: {error}.") from None
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise FirstbootError(f"{' '.join(command[:2])} failed: {last or done.returncode}.")


def apply(config: BoxConfig, paths: Paths) -> None:
    """Make the machine as the file says."""
    if config.hostname:
        set_hostname(config.hostname, paths)
    if config.ssh_keys is not None:
        set_ssh_keys(config.ssh_keys, paths)
    if config.wifi is not None:
        set_wifi(config.wifi, paths)


def set_hostname(name: str, paths: Paths) -> None:
    """Give the machine its name, now and from now on."""
    hosts = paths.root / "etc/hosts"
    text = hosts.read_text(encoding="utf-8") if hosts.exists() else "127.0.0.1 localhost\n"
    renamed = re.sub(r"^127\.0\.1\.1\s.*$", f"127.0.1.1 {name}", text, flags=re.MULTILINE)
    write_atomic(hosts, renamed.encode(), _PUBLIC)
    write_atomic(paths.root / "etc/hostname", f"{name}\n".encode(), _PUBLIC)
    if paths.root == Path("/"):
        socket.sethostname(name)


def set_ssh_keys(keys: tuple[str, ...], paths: Paths) -> None:
    """Let these keys in; sshd starts after us, and only when there are any."""
    make_private_directory(paths.box)
    make_private_directory(paths.ssh)
    accepted = paths.ssh / "authorized_keys"
    if not keys:
        remove(accepted)
        return
    host_key = paths.ssh / "ssh_host_ed25519_key"
    if not host_key.exists():
        part = host_key.with_suffix(".new")
        remove(part)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(part))
        Path(f"{part}.pub").replace(f"{host_key}.pub")
        part.replace(host_key)
    write_atomic(accepted, "".join(f"{key}\n" for key in keys).encode())


def set_wifi(wifi: Wifi, paths: Paths) -> None:
    """Write the connection that NetworkManager finds when it starts."""
    write_atomic(paths.connection, render_connection(wifi).encode())
    country = f"options cfg80211 ieee80211_regdom={wifi.country}\n"
    write_atomic(paths.country, country.encode(), _PUBLIC)
    if paths.root != Path("/"):
        return
    for command in (("iw", "reg", "set", wifi.country), ("rfkill", "unblock", "wifi")):
        # Without a radio there is nothing to set; what was written holds when one is there.
        with contextlib.suppress(FirstbootError):
            run(*command)


def render_connection(wifi: Wifi) -> str:
    """Return a keyfile of NetworkManager's."""
    lines = [
        "[connection]",
        f"id={_CONNECTION}",
        "type=wifi",
        "autoconnect-retries=0",
        "[wifi]",
        f"ssid={''.join(f'{byte};' for byte in wifi.ssid.encode())}",
        f"hidden={'true' if wifi.hidden else 'false'}",
    ]
    if wifi.psk:
        escaped = wifi.psk.replace("\\", "\\\\")
        if escaped.startswith(" "):
            escaped = f"\\s{escaped[1:]}"
        lines += ["[wifi-security]", "key-mgmt=wpa-psk", f"psk={escaped}"]
    return "\n".join([*lines, "[ipv4]", "method=auto", "[ipv6]", "method=auto", ""])


def keep_names(paths: Paths) -> None:
    """Hand machine-id and name to whatever system starts from this card next."""
    if not paths.kept.is_dir():
        return
    for name in ("machine-id", "hostname"):
        source = paths.root / "etc" / name
        data = source.read_bytes() if source.exists() else b""
        target = paths.kept / name
        if data.strip() and (not target.exists() or target.read_bytes() != data):
            write_atomic(target, data, source.stat().st_mode & 0o777)
