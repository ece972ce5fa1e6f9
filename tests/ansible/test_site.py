"""site.yml from four bare hosts to proven routes, and all that may come between.

The tests are one story and run in this order; each begins where the one before it ended.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict

from tests.ansible.fleet import BUILD, URL, Fleet
from tests.ansible.spy import SECRET, files_with_secrets
from tests.ansible.world import HOMES, World
from tests.bench.report import RESULTS, Target, row
from tests.netns.lab import wait_until
from tests.netns.lab.web import client_seen
from tests.support.mesh import AgentNode

PLACES = ("etc", "root", "run", "tmp", "var")
NONE = {"vps": 0, "relay": 0, "home": 0, "parents": 0}


def footprint(fleet: Fleet, host: str) -> str:
    """What of a host a playbook might change: files by name and time, packages, units."""
    look = (
        "find /etc /root /usr /opt /var/lib /var/cache -xdev -type f ! -path '/root/.ansible/*' "
        "! -path '/var/lib/systemd/*' -printf '%p %s %T@\\n' | sort; "
        "dpkg-query --show; systemctl list-unit-files --no-pager --no-legend --type=service,socket"
    )
    return fleet.machines[host].run(["sh", "-c", look])


def test_a_prediction_for_bare_hosts_changes_nothing(fleet: Fleet) -> None:
    before = {host: footprint(fleet, host) for host in NONE}
    run = fleet.play("--check", "--diff")
    assert run.status == 0, run.output[-3000:]
    assert run.count("failed") == NONE
    assert all(run.count("changed").values())
    for expected in (
        'server_url = \\"https://vps\\"',
        '"advertise_routes": [\n+        "192.168.1.0/24"',
        '+    "joined": true',
    ):
        assert expected in run.output
    assert {host: footprint(fleet, host) for host in NONE} == before


def test_one_run_goes_from_nothing_to_proven_routes(fleet: Fleet) -> None:
    run = fleet.play("-vvv")
    assert run.status == 0, run.output[-3000:]
    assert run.count("failed") == run.count("unreachable") == NONE
    _keep_time("site.yml from nothing, four hosts", run.seconds, Target(at_most=480))
    for host, lan in HOMES.items():
        own = next(r for r in fleet.latchkey(host, "routes")["Routes"] if not r.get("Router"))
        assert own["Prefix"] == lan
        assert [own[step]["Ok"] for step in ("Advertised", "Approved", "Serving", "Proven")] == [
            True
        ] * 4, own
    for host in NONE:
        failed = fleet.machines[host].run("systemctl list-units --failed --no-legend latchkey-*")
        assert failed.strip() == "", host


def test_no_key_was_to_be_seen_anywhere(fleet: Fleet) -> None:
    assert SECRET.search(b"lkauth-" + b"0" * 12 + b"-" + b"f" * 64)
    used = [key for key in fleet.admin("preauthkeys", "list")["keys"] if key["used"]]
    assert len(used) == len(HOMES)  # there was something to see
    assert fleet.spy.looks > 100
    assert fleet.spy.seen == set()
    for log in (BUILD / "fleet").glob("run-*.log"):
        assert SECRET.search(log.read_bytes()) is None, log
    for host, machine in fleet.machines.items():
        assert SECRET.search(machine.run("journalctl --no-pager").encode()) is None, host
        assert files_with_secrets(machine.root, *PLACES) == [], host
    assert files_with_secrets(BUILD, "home") == []


def test_the_second_run_changes_nothing(fleet: Fleet) -> None:
    run = fleet.play("--diff")
    assert run.status == 0, run.output[-3000:]
    assert run.count("changed") == run.count("failed") == NONE
    _keep_time("site.yml again, nothing changed", run.seconds, Target(at_most=60))


def test_a_prediction_after_it_foretells_nothing(fleet: Fleet) -> None:
    run = fleet.play("--check", "--diff")
    assert run.status == 0, run.output[-3000:]
    assert run.count("changed") == NONE


def test_a_traveller_sees_the_page_of_the_printer(fleet: Fleet, world: World) -> None:
    made = fleet.admin("preauthkeys", "create", "--user", "alice")
    laptop = AgentNode(world.laptop, fleet.join_of(made["key"]))
    laptop.up("--accept-routes")

    def page() -> str:
        try:
            return world.laptop.http_get(world.printer.ip, timeout_s=2)
        except OSError:
            return ""

    assert client_seen(wait_until(page, 20, "the printer's page comes")) == world.home.ip
    known = {node["name"]: node for node in fleet.admin("nodes", "list")["nodes"]}
    assert known["home"]["tags"] == ["tag:gateway"]


def test_both_relays_are_in_use(fleet: Fleet) -> None:
    heard = fleet.latchkey("home", "netcheck")["relay_latency_s"]
    assert {name.partition(" ")[0] for name in heard} == {"home", "apart"}


def test_the_setup_page_is_on_the_lan(fleet: Fleet, world: World) -> None:
    assert "Latchkey" in world.printer.http_get(world.home.ip, "/claim")


def test_a_changed_pref_is_shown_and_then_made(fleet: Fleet) -> None:
    wanted = {"gateway_exit_node": True}
    before = fleet.latchkey("home", "set")
    run = fleet.play("--check", "--diff", "--limit=home", **wanted)
    assert run.status == 0, run.output[-3000:]
    assert '-    "advertise_exit_node": false' in run.output
    assert '+    "advertise_exit_node": true' in run.output
    assert '+        "0.0.0.0/0"' in run.output  # the approval to come
    assert fleet.latchkey("home", "set") == before
    run = fleet.play("--limit=home", **wanted)
    assert run.status == 0, run.output[-3000:]
    assert fleet.latchkey("home", "set")["advertise_exit_node"] is True
    again = fleet.play("--limit=home", **wanted)
    assert again.count("changed") == {"home": 0}


def test_an_approval_that_is_not_wanted_goes(fleet: Fleet) -> None:
    run = fleet.play("--limit=home", "--diff")
    assert run.status == 0, run.output[-3000:]
    routes = fleet.admin("routes", "list")["routes"]
    assert [r["prefix"] for r in routes if r["node"] == "home" and r["approved"]] == [HOMES["home"]]


def test_a_misspelt_pref_is_refused_with_a_hint(fleet: Fleet) -> None:
    before = fleet.latchkey("home", "set")
    run = fleet.play("--limit=home", gateway_prefs={"acept_dns": False})
    assert run.sentences == [
        "This host's agent has no pref 'acept_dns'. Did you mean 'accept_dns'?"
    ]
    assert fleet.latchkey("home", "set") == before


def test_a_wrong_type_is_refused_by_the_argument_specs(fleet: Fleet) -> None:
    run = fleet.play("--limit=home", gateway_exit_node=["yes"])
    assert run.status == 2
    assert any("gateway_exit_node" in text and "bool" in text for text in run.sentences)
    run = fleet.module("home", "prefs", {"prefs": {"accept_dns": "no"}}, "--become")
    assert "The pref 'accept_dns' must be true or false, not 'no'." in run.output


def test_a_host_of_another_mesh_is_left_alone(fleet: Fleet) -> None:
    before = fleet.latchkey("home", "set")
    run = fleet.play("--limit=home", gateway_login_server="https://other.example")
    assert run.sentences == [
        f"This host is already part of the mesh of {URL}; `latchkey logout` there takes it out, "
        "then it can join https://other.example."
    ]
    assert fleet.latchkey("home", "set") == before
    assert fleet.latchkey("home", "status")["BackendState"] == "Running"


def test_an_expired_key_joins_nobody(fleet: Fleet, world: World) -> None:
    fleet.boot(world.parents)  # a new disk in the second house
    assert fleet.module("vps", "node", {"node": "parents", "state": "absent"}).status == 0
    terms = {"user": "alice", "lifetime": 1}
    made = SECRET.search(fleet.module("vps", "preauth_key", terms).output.encode())
    assert made is not None
    expired = made[0].decode()
    wait_until(lambda: _none_usable(fleet), 10, "the key expires")
    run = fleet.play("--limit=parents", gateway_auth_key=expired)
    assert len(run.sentences) == 1
    assert re.fullmatch(
        r"The coordinator refused this node: This pre-auth key expired on .* Ask an admin for a "
        r"new one\.",
        run.sentences[0],
    )
    assert expired not in run.output
    prefs = fleet.latchkey("parents", "set")
    assert (prefs["control_url"], prefs["want_running"], prefs["advertise_routes"]) == (
        "",
        False,
        [],
    )
    assert [
        n["name"] for n in fleet.admin("nodes", "list")["nodes"] if n["name"] == "parents"
    ] == []


def test_a_host_that_cannot_be_reached_leaves_the_others_right(fleet: Fleet, world: World) -> None:
    world.parents_router.block("tcp dport 22")
    run = fleet.play(webui_session_hours=6)
    assert run.status == 4, run.output[-3000:]
    assert run.count("unreachable") == NONE | {"parents": 1}
    assert run.count("failed") == NONE
    assert run.count("changed")["home"] > 0
    assert fleet.latchkey("home", "status")["BackendState"] == "Running"
    assert "timed out" in run.output


def test_the_next_run_does_what_was_missing_and_nothing_twice(fleet: Fleet, world: World) -> None:
    world.parents_router.unblock()
    run = fleet.play(webui_session_hours=6)
    assert run.status == 0, run.output[-3000:]
    changed = run.count("changed")
    assert changed.pop("parents") > 0
    assert set(changed.values()) == {0}
    own = next(r for r in fleet.latchkey("parents", "routes")["Routes"] if not r.get("Router"))
    assert own["Proven"]["Ok"], own


def test_settings_that_the_coordinator_refuses_are_not_written(fleet: Fleet) -> None:
    run = fleet.play("--limit=vps", coordinator_base_domain="not a domain")
    assert run.sentences[-1] == (
        "The coordinator refuses its settings: base_domain 'not a domain' is not a domain, like "
        "mesh.internal."
    )
    assert fleet.play("--limit=vps").count("changed") == {"vps": 0}


def test_a_coordinator_that_does_not_start_says_itself_why(fleet: Fleet) -> None:
    run = fleet.play("--limit=vps", coordinator_listen=":22")
    assert re.match(r"latchkey coordinator: .*22.*", run.sentences[-1])
    assert fleet.play("--limit=vps").status == 0
    assert fleet.admin("status")["nodes"] > 0


def test_without_a_coordinator_there_is_one_sentence(fleet: Fleet) -> None:
    units = "latchkey-coordinator.path latchkey-coordinator.service"
    fleet.machines["vps"].run(f"systemctl stop {units}")
    run = fleet.play("--limit=home")
    fleet.machines["vps"].run(f"systemctl start {units}")
    assert run.sentences == [
        "The coordinator is not running: `systemctl start latchkey-coordinator`, then "
        "`journalctl -u latchkey-coordinator`."
    ]


def test_no_process_ever_showed_a_key(fleet: Fleet) -> None:
    assert fleet.spy.seen == set()


def test_without_an_agent_there_is_one_sentence(fleet: Fleet) -> None:
    fleet.machines["home"].run("systemctl stop latchkey-agent")
    run = fleet.module("home", "prefs", {"prefs": {"hostname": "x"}})
    fleet.machines["home"].run("systemctl start latchkey-agent")
    assert "The agent is not running: `systemctl start latchkey-agent`" in run.output


def _none_usable(fleet: Fleet) -> bool:
    return not any(key["usable"] for key in fleet.admin("preauthkeys", "list")["keys"])


def _keep_time(what: str, seconds: float, target: Target) -> None:
    """Keep a row for `make bench-box`, in place of an earlier one of that name."""
    file = RESULTS / "box-ansible.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    rows = [old for old in known if old["what"] != what]
    rows.append(asdict(row(what, "s", [seconds], target=target)))
    file.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
