"""What was done is not done again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from appliance.firstboot.config import BoxConfig, Mesh
from appliance.firstboot.memory import Done, load, mesh_print, save, settings_print


def test_it_is_remembered(tmp_path: Path) -> None:
    assert load(tmp_path) == Done()
    save(tmp_path, Done("one", "two"))
    assert load(tmp_path) == Done("one", "two")


def test_a_broken_record_is_none(tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text("{")
    assert load(tmp_path) == Done()


def test_a_key_that_was_removed_changes_nothing_that_was_done() -> None:
    mesh = Mesh("https://mesh.example.org", "tskey-auth-1", ("auto",))
    assert mesh_print(mesh) == mesh_print(replace(mesh, auth_key=""))
    assert mesh_print(mesh) != mesh_print(replace(mesh, advertise_routes=()))
    assert mesh_print(None) == ""


def test_another_name_is_something_to_do() -> None:
    assert settings_print(BoxConfig()) != settings_print(BoxConfig(hostname="gatekeeper"))


def test_another_system_on_the_card_begins_anew() -> None:
    assert settings_print(BoxConfig(), "one") != settings_print(BoxConfig(), "two")
