"""What was done already, so that a start does not undo what the owner changed since."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from appliance.firstboot.config import BoxConfig, Mesh
from appliance.host.files import make_private_directory, read_bounded, write_atomic


class Done(msgspec.Struct, frozen=True):
    """Fingerprints of what was applied last; empty: nothing."""

    settings: str = ""
    mesh: str = ""


def settings_print(config: BoxConfig, system: str = "") -> str:
    """Return what stands for name, SSH keys and Wi-Fi, and for the system that has them."""
    return _print([system, config.hostname, config.ssh_keys, config.wifi])


def mesh_print(mesh: Mesh | None) -> str:
    """Return what stands for the wishes in the mesh; without the key, which is used once."""
    return "" if mesh is None else _print([mesh.login_server, mesh.prefs()])


def load(folder: Path) -> Done:
    """Read what was done; nothing when the file is absent or not ours."""
    data = read_bounded(folder / "done.json")
    if data is None:
        return Done()
    try:
        return msgspec.json.decode(data, type=Done)
    except msgspec.MsgspecError:
        return Done()


def save(folder: Path, done: Done) -> None:
    """Remember it."""
    make_private_directory(folder)
    write_atomic(folder / "done.json", msgspec.json.encode(done))


def _print(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()
