"""The collection by itself: lint, documentation, argument specs."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from appliance.version import VERSION
from tests.ansible.fleet import BUILD, TOOLS
from tests.netns.lab import REPOSITORY

INSTALLED = BUILD / "collections" / "ansible_collections" / "latchkey" / "mesh"
MODULES = ("info", "node", "preauth_key", "prefs", "user")
ROLES = ("coordinator", "gateway", "package", "relay", "webui")


def run(*command: str, cwd=REPOSITORY) -> subprocess.CompletedProcess[str]:
    env = {
        "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
        "ANSIBLE_HOME": str(BUILD / "home"),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{TOOLS}:{os.environ['PATH']}",
        "HOME": str(BUILD / "home"),
    }
    return subprocess.run(
        [str(TOOLS / command[0]), *command[1:]],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_ansible_lint_has_nothing_to_say_in_its_strictest_profile() -> None:
    done = run("ansible-lint", "--offline", "--profile=production", "--strict", cwd=INSTALLED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed: 0 failure(s), 0 warning(s)" in done.stdout + done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_a_module_explains_itself(module: str) -> None:
    done = run("ansible-doc", "--json", f"latchkey.mesh.{module}")
    assert done.returncode == 0, done.stderr
    text = json.loads(done.stdout)[f"latchkey.mesh.{module}"]
    assert text["doc"]["description"]
    assert text["doc"]["attributes"]["check_mode"]["support"] == "full"
    assert text["examples"].strip()
    assert text["return"]
    assert all(option.get("description") for option in text["doc"]["options"].values())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_explains_itself(role: str) -> None:
    done = run("ansible-doc", "--json", "--type=role", f"latchkey.mesh.{role}")
    assert done.returncode == 0, done.stderr
    text = json.loads(done.stdout)[f"latchkey.mesh.{role}"]
    assert text["entry_points"]["main"]["options"]


def test_the_example_inventory_is_one() -> None:
    example = INSTALLED / "examples" / "three-houses.yml"
    done = run("ansible-inventory", f"--inventory={example}", "--list")
    assert done.returncode == 0, done.stderr
    groups = json.loads(done.stdout)
    assert len(groups["gateways"]["hosts"]) == 3
    assert len(groups["coordinator"]["hosts"]) == 1


def test_the_playbook_fits_the_example() -> None:
    example = INSTALLED / "examples" / "three-houses.yml"
    done = run("ansible-playbook", f"--inventory={example}", "--syntax-check", "latchkey.mesh.site")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr


def test_its_version_is_that_of_latchkey() -> None:
    manifest = json.loads((INSTALLED / "MANIFEST.json").read_text(encoding="utf-8"))
    assert manifest["collection_info"]["version"] == VERSION
    example = (INSTALLED / "examples" / "three-houses.yml").read_text(encoding="utf-8")
    assert f"latchkey_{VERSION}_all.deb" in example


def test_a_gateway_may_join_a_coordinator_that_the_inventory_does_not_have(tmp_path) -> None:
    inventory = tmp_path / "inventory.json"
    cabin = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "gateway_login_server": "https://mesh.example",
        "gateway_auth_key": "no-key-of-ours",
        "gateway_approve": False,
        "gateway_lans": ["192.168.1.0/24"],
    }
    inventory.write_text(json.dumps({"gateways": {"hosts": {"cabin": cabin}}}), encoding="utf-8")
    done = run("ansible-playbook", f"--inventory={inventory}", "--check", "latchkey.mesh.site")
    assert done.returncode == 0, done.stdout
    assert "no-key-of-ours" not in done.stdout
