"""A package's life on a plain Debian 13: installed, set up, upgraded, removed, purged.

The tests are one story and run in this order.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.netns.lab import wait_until
from tests.package.conftest import MakeSystem, note
from tests.package.snapshots import differences, snapshot
from tests.package.system import System

SOON_S = 20.0
PAGE = """\
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=15)
connection.request("GET", "/", headers={"Host": sys.argv[1]})
answer = connection.getresponse()
print(answer.status, answer.getheader("Location", ""), len(answer.read()))
"""
PORT_80_OPENED = "latchkey-webui.socket", "--property=ActiveEnterTimestampMonotonic"
COORDINATOR = """\
server_url = "http://127.0.0.1:8080"
listen = "127.0.0.1:8080"
admin_group = "latchkey-admin"
"""


class Life:
    """The system, and how it was before."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.before = snapshot(system)
        self.files = listing(system)


def listing(system: System) -> set[str]:
    """Files of ours, by name."""
    command = "find / -xdev -name *latchkey* -not -path /proc/* -not -path /sys/* -not -path /tmp/*"
    return set(system.run(command.split()).splitlines())


@pytest.fixture(scope="module")
def life(make_system: MakeSystem) -> Life:
    system = make_system()
    system.boot()
    system.run("ip link set lo up")
    return Life(system)


@pytest.fixture(scope="module")
def system(life: Life) -> System:
    return life.system


def test_apt_installs_it_from_the_file_with_dependencies_of_trixie_alone(
    system: System, package: Path
) -> None:
    system.install(package, "wireguard-go")
    assert "install ok installed" in system.run("dpkg --status latchkey")
    assert system.run("dpkg --audit") == ""


def test_no_unit_fails(system: System) -> None:
    assert system.failed_units() == []


def test_the_agent_runs_and_answers(system: System) -> None:
    assert system.run("systemctl is-active latchkey-agent").strip() == "active"
    status = json.loads(system.try_run("latchkey status --json").stdout)
    assert status["BackendState"] in ("NeedsLogin", "Stopped", "NoState")


def test_doctor_works_without_an_agent_too(system: System) -> None:
    system.run("systemctl stop latchkey-agent")
    done = system.try_run("latchkey doctor")
    system.run("systemctl start latchkey-agent")
    assert "not running" not in done.stderr, done.stderr
    assert done.stdout


def test_only_what_may_run_unasked_does(system: System) -> None:
    enabled = {
        unit: system.try_run(["systemctl", "is-enabled", unit]).stdout.strip()
        for unit in (
            *("latchkey-agent.service", "latchkey-holdback.service", "latchkey-coordinator.path"),
            *("latchkey-relay.service", "latchkey-webui.service", "latchkey-webui.socket"),
        )
    }
    assert list(enabled.values()) == ["enabled"] * 3 + ["disabled"] * 3, enabled
    listening = system.run("ss --no-header --listening --tcp --udp --numeric --processes")
    assert [line for line in listening.splitlines() if "systemd-resolve" not in line] == []


def test_the_coordinator_waits_for_its_settings(system: System) -> None:
    assert system.try_run("systemctl is-active latchkey-coordinator").stdout.strip() == "inactive"


@pytest.mark.parametrize(
    "path",
    [
        "/var/lib/latchkey-coordinator-settings/coordinator.toml",
        "/etc/latchkey/coordinator.toml",
    ],
)
def test_settings_start_the_coordinator(system: System, path: str) -> None:
    system.run(["rm", "--force", "/var/lib/latchkey-coordinator-settings/coordinator.toml"])
    system.run("systemctl stop latchkey-coordinator")
    owner = "root:latchkey-coordinator"
    new = str(Path(path).with_name("new.toml"))
    system.write(new, COORDINATOR, 0o640)
    system.run(["chown", owner, new])
    system.run(["mv", new, path])
    wait_until(
        lambda: system.try_run("systemctl is-active latchkey-coordinator").stdout == "active\n",
        SOON_S,
        f"the coordinator runs\n{system.journal('latchkey-coordinator')}",
    )
    done = system.try_run("latchkey admin status")
    assert done.returncode == 0, done.stderr
    assert system.failed_units() == []


def test_a_stop_of_the_coordinator_is_not_overruled(system: System) -> None:
    system.run("systemctl stop latchkey-coordinator")
    assert system.try_run("systemctl is-active latchkey-coordinator").stdout == "inactive\n"
    system.run("systemctl start latchkey-coordinator")


def test_the_setup_page_may_administer(system: System) -> None:
    done = system.try_run(
        ["runuser", "--user", "latchkey-webui", "--", "latchkey", "admin", "status"]
    )
    assert done.returncode == 0, done.stderr
    done = system.try_run(
        ["runuser", "--user", "latchkey-relay", "--", "latchkey", "admin", "status"]
    )
    assert done.returncode == 4, done.stderr


def test_the_setup_page_answers_on_port_80(system: System) -> None:
    system.run("systemctl enable --now latchkey-webui.service")
    assert system.run("systemctl is-active latchkey-webui.socket").strip() == "active"
    status, *_ = system.run(["python3", "-c", PAGE, "127.0.0.1"]).split()
    assert status in ("200", "302", "303"), system.journal("latchkey-webui")
    assert system.failed_units() == []


def test_the_setup_page_knows_the_machines_names_and_addresses_and_no_others(
    system: System,
) -> None:
    system.run("ip address add 192.0.2.5/32 dev lo")
    system.run("systemctl restart latchkey-webui")
    names = "192.0.2.5", system.run("hostname").strip(), "example.org"
    statuses = [system.run(["python3", "-c", PAGE, name]).split()[0] for name in names]
    system.run("ip address del 192.0.2.5/32 dev lo")
    assert statuses[:2] == ["303", "303"]
    assert statuses[2].startswith("4")


def test_the_relay_runs_with_settings_of_its_own(system: System) -> None:
    system.write(
        "/etc/latchkey/relay.toml",
        'host = "127.0.0.1"\nlisten = ["127.0.0.1:443"]\nlisten_stun = ["127.0.0.1:3479"]\n'
        "[admission]\nanyone = true\n",
    )
    system.run("systemctl enable --now latchkey-relay")
    assert system.failed_units() == []


def test_every_program_has_a_user_and_few_powers(system: System) -> None:
    users = {}
    for name in ("agent", "coordinator", "relay", "webui"):
        pid = system.run(f"systemctl show --value --property=MainPID latchkey-{name}").strip()
        status = system.run(["cat", f"/proc/{pid}/status"])
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        user = system.run(["stat", "--format=%U", f"/proc/{pid}"]).strip()
        users[name] = (user, fields["CapEff"].strip(), fields["NoNewPrivs"].strip())
    net_admin, net_raw, bind = 1 << 12, 1 << 13, 1 << 10
    assert users == {
        "agent": ("root", f"{net_admin | net_raw | bind:016x}", "1"),
        "coordinator": ("latchkey-coordinator", f"{bind:016x}", "1"),
        "relay": ("latchkey-relay", f"{bind:016x}", "1"),
        "webui": ("latchkey-webui", f"{0:016x}", "1"),
    }


@pytest.mark.parametrize(
    ("unit", "limit"),
    [("agent", 3.0), ("holdback", 3.1), ("coordinator", 1.7), ("relay", 1.7), ("webui", 1.3)],
)
def test_units_stay_as_hardened_as_they_are(system: System, unit: str, limit: float) -> None:
    threshold = ["systemd-analyze", "security", "--no-pager", f"--threshold={round(limit * 10)}"]
    done = system.try_run([*threshold, f"latchkey-{unit}.service"])
    assert done.returncode == 0, done.stdout[-2000:]
    note(done.stdout.strip().splitlines()[-1])


def test_an_upgrade_keeps_settings_and_state(system: System, next_package: Path) -> None:
    system.run(["sh", "-c", "echo 'verbose = true' >> /etc/latchkey/agent.toml"])
    state = "/var/lib/latchkey/state.json"
    had_state = system.exists(state) and system.run(["cat", state])
    key = system.run("cat /var/lib/latchkey-coordinator/noise.key")
    open_since = system.run(["systemctl", "show", *PORT_80_OPENED])
    system.install(next_package)
    assert "+next" in system.run("dpkg-query --show latchkey")
    assert "verbose = true" in system.run("cat /etc/latchkey/agent.toml")
    assert (system.exists(state) and system.run(["cat", state])) == had_state
    assert system.run("cat /var/lib/latchkey-coordinator/noise.key") == key
    assert system.failed_units() == []
    assert system.run(["systemctl", "show", *PORT_80_OPENED]) == open_since


def test_after_an_upgrade_the_new_programs_run(system: System) -> None:
    unpacked = int(system.run("stat --format=%Y /var/lib/dpkg/info/latchkey.list"))
    show = "systemctl show --value --timestamp=unix --property=ExecMainStartTimestamp"
    for name in ("agent", "coordinator", "relay", "webui"):
        assert system.run(f"systemctl is-active latchkey-{name}").strip() == "active"
        started = int(system.run(f"{show} latchkey-{name}").strip().removeprefix("@"))
        assert started >= unpacked, f"latchkey-{name} is the old program"
    out = system.run("dpkg --verify latchkey")
    assert [line for line in out.splitlines() if "agent.toml" not in line] == []


def test_a_reboot_brings_everything_back(system: System) -> None:
    system.halt()
    system.boot()
    assert system.failed_units() == []
    for name in ("agent", "coordinator", "relay", "webui"):
        assert system.run(f"systemctl is-active latchkey-{name}").strip() == "active"
    journal = system.run("journalctl --no-pager --boot --output=cat")
    assert "ordering cycle" not in journal


def test_removal_takes_the_programs_and_leaves_settings_and_state(
    system: System, life: Life
) -> None:
    system.run("apt-get remove --yes --quiet latchkey")
    left = listing(system) - life.files
    assert not [name for name in left if name.startswith("/usr")]
    assert system.exists("/etc/latchkey/agent.toml")
    assert system.exists("/var/lib/latchkey-coordinator/noise.key")
    assert system.try_run("pgrep --full latchkey").stdout == ""
    assert system.failed_units() == []


def test_a_purge_leaves_nothing_but_the_users(system: System, life: Life) -> None:
    system.run("apt-get purge --yes --quiet latchkey")
    kept = "/root/latchkey", "/run/log", "/var/cache/apt", "/var/log"
    left = [name for name in listing(system) - life.files if not name.startswith(kept)]
    assert left == []
    assert "latchkey-webui" in system.run("cat /etc/passwd")


def test_the_network_is_as_it_was(system: System, life: Life) -> None:
    assert differences(life.before, snapshot(system)) == {}
