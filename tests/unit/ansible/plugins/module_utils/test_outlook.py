from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible.plugins.module_utils import outlook
from ansible.plugins.module_utils.outlook import Requirement
from ansible.plugins.module_utils.proof import STEPS
from ansible.plugins.module_utils.unixapi import AGENT, Api, ApiError
from ansible.plugins.module_utils.wishes import FRESH
from tests.support.scriptedapi import Refusal, ScriptedApi, scripted_api

LAN = "192.168.1.0/24"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    monkeypatch.setattr(outlook, "PAUSE_S", 0.01)
    with scripted_api(tmp_path / "agent") as served:
        served.api = Api(AGENT, str(tmp_path / "agent"))
        yield served


def route(upto: str, router: str = ""):
    reached = STEPS.index(upto)
    facts = {
        s.capitalize(): {"Ok": STEPS.index(s) <= reached, "Evidence": f"About {s}."} for s in STEPS
    }
    return {"Prefix": LAN, "Router": router, **facts}


def test_a_host_without_an_agent_is_a_fact(tmp_path) -> None:
    found = outlook.node(Api(AGENT, str(tmp_path / "none")))
    assert (found["running"], found["joined"]) == (False, False)


def test_a_node_is_described_by_its_name(agent) -> None:
    agent.answers["GET", "/prefs"] = FRESH
    agent.answers["GET", "/status"] = {
        "BackendState": "Running",
        "HaveNodeKey": True,
        "TailscaleIPs": ["100.64.0.1"],
        "Self": {"DNSName": "home.mesh.internal."},
    }
    found = outlook.node(agent.api)
    assert (found["name"], found["fqdn"], found["joined"]) == ("home", "home.mesh.internal", True)


def test_a_route_is_waited_for(agent) -> None:
    steps = iter(["advertised", "approved", "serving"])
    agent.answers["GET", "/routes"] = lambda _: {"Routes": [route(next(steps))]}
    outlook.await_routes(agent.api, Requirement("serving", routes=(LAN,)))


def test_a_route_that_does_not_come_is_named_with_its_evidence(agent) -> None:
    agent.answers["GET", "/routes"] = {"Routes": [route("approved")]}
    with pytest.raises(ApiError, match=rf"After 0 s {LAN} is not serving: About serving\.$"):
        outlook.await_routes(agent.api, Requirement("serving", timeout_s=0))


def test_a_peer_is_probed_only_until_it_is_proven(agent) -> None:
    proven = []
    agent.answers["GET", "/routes"] = lambda _: {
        "Routes": [route("proven" if proven else "serving", "home")]
    }
    agent.answers["POST", "/routes/probe"] = lambda _: proven.append(1) or {"Routes": []}
    wanted = Requirement("proven", of="peers", probe=("192.168.1.20",))
    outlook.await_routes(agent.api, wanted)
    outlook.await_routes(agent.api, wanted)
    assert [call[1] for call in agent.calls] == ["/routes/probe?target=192.168.1.20"]


def test_nothing_to_probe_is_no_failure(agent) -> None:
    agent.answers["POST", "/routes/probe"] = Refusal("doctor-route", "No route.")
    outlook.probe(agent.api, [outlook.ALL])
    assert agent.calls == [("POST", "/routes/probe?target=", None)]
    agent.answers["POST", "/routes/probe"] = Refusal("error", "Not connected.")
    with pytest.raises(ApiError, match="Not connected"):
        outlook.probe(agent.api, [outlook.ALL])
