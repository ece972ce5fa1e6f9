from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible.plugins.module_utils.membership import Wish, settle
from ansible.plugins.module_utils.unixapi import AGENT, Api, ApiError, NotRunningError
from ansible.plugins.module_utils.wishes import FRESH
from tests.support.scriptedapi import Refusal, ScriptedApi, scripted_api

URL = "https://mesh.example"
JOIN = Wish("joined", {"hostname": "home"}, URL, "lkauth-secret", timeout_s=0.3)
JOINED = {**FRESH, "control_url": URL, "want_running": True, "hostname": "home"}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ScriptedApi]:
    with scripted_api(tmp_path / "agent") as served:
        stands(served, FRESH)
        served.answers["PATCH", "/prefs"] = FRESH
        served.answers["POST", "/down"] = {"seq": 9, "state": "Stopped"}
        served.answers["POST", "/logout"] = {"seq": 9, "state": "NeedsLogin"}
        served.api = Api(AGENT, str(tmp_path / "agent"))
        yield served


def stands(served, prefs, *, logged_in: bool = False, state: str = "NeedsLogin") -> None:
    served.answers["GET", "/status"] = {"BackendState": state, "HaveNodeKey": logged_in}
    served.answers["GET", "/prefs"] = prefs


def progresses(served, *steps) -> None:
    answers = [{"seq": n, "auth_url": "", "failure": None, **step} for n, step in enumerate(steps)]
    served.answers["POST", "/up"] = answers[0]
    left = iter(answers[1:])
    served.answers["GET", "/watch"] = lambda _: next(left, answers[-1])


def test_a_join_sends_the_key_in_the_body_and_waits(agent) -> None:
    progresses(agent, {"state": "Starting"}, {"state": "Starting"}, {"state": "Running"})
    done = settle(agent.api, JOIN, check=False)
    assert done.changed
    assert agent.calls == [
        (
            "POST",
            "/up",
            {
                "prefs": {"hostname": "home", "control_url": URL},
                "auth_key": "lkauth-secret",
                "force_reauth": False,
            },
        )
    ]
    assert "secret" not in repr(done)
    assert "secret" not in repr(JOIN)


def test_a_joined_node_is_left_alone(agent) -> None:
    stands(agent, JOINED, logged_in=True, state="Running")
    assert not settle(agent.api, JOIN, check=False).changed
    assert agent.calls == []


def test_a_slash_at_the_end_of_the_url_is_no_change(agent) -> None:
    stands(agent, JOINED, logged_in=True, state="Running")
    wish = Wish("joined", {}, f"{URL}/")
    assert not settle(agent.api, wish, check=False).changed


def test_a_pref_of_a_joined_node_is_changed_without_a_login(agent) -> None:
    stands(agent, JOINED, logged_in=True, state="Running")
    wish = Wish("joined", {"hostname": "attic"}, URL)
    done = settle(agent.api, wish, check=False)
    assert agent.calls == [("PATCH", "/prefs", {"hostname": "attic"})]
    assert done.before["hostname"] == "home"
    assert done.after["hostname"] == "attic"


def test_a_stopped_node_is_started_without_a_key(agent) -> None:
    stands(agent, {**JOINED, "want_running": False}, logged_in=True, state="Stopped")
    progresses(agent, {"state": "Running"})
    assert settle(agent.api, JOIN, check=False).changed
    assert agent.calls[0][2]["auth_key"] == ""


def test_an_expired_login_is_made_anew(agent) -> None:
    stands(agent, JOINED, logged_in=True, state="NeedsLogin")
    progresses(agent, {"state": "Running"})
    assert settle(agent.api, JOIN, check=False).changed
    assert agent.calls[0][2] == {
        "prefs": {},
        "auth_key": "lkauth-secret",
        "force_reauth": True,
    }


def test_a_prediction_changes_nothing(agent) -> None:
    done = settle(agent.api, JOIN, check=True)
    assert done.changed
    assert done.after["hostname"] == "home"
    assert agent.calls == []


def test_a_prediction_needs_no_agent_and_no_key(tmp_path) -> None:
    api = Api(AGENT, str(tmp_path / "none"))
    wish = Wish("joined", {"hostname": "home"}, URL)
    done = settle(api, wish, check=True)
    assert done.changed
    assert "Taken for a node that nobody has set up" in done.warnings[0]
    with pytest.raises(NotRunningError):
        settle(api, wish, check=False)


def test_a_refused_key_leaves_the_prefs_as_they_were(agent) -> None:
    failure = {"code": "key-expired", "message": "This pre-auth key expired."}
    progresses(agent, {"state": "Starting"}, {"state": "NeedsLogin", "failure": failure})
    with pytest.raises(ApiError, match=r"^This pre-auth key expired\.$") as caught:
        settle(agent.api, JOIN, check=False)
    assert caught.value.code == "key-expired"
    assert agent.calls[1:] == [("PATCH", "/prefs", {"hostname": "", "control_url": ""})]


def test_a_login_that_was_granted_keeps_its_coordinator(agent) -> None:
    failure = {"code": "no-tun", "message": "No TUN."}

    def admitted(_body):
        stands(agent, JOINED, logged_in=True, state="Starting")
        return {"seq": 1, "state": "Starting", "failure": failure}

    agent.answers["POST", "/up"] = admitted
    with pytest.raises(ApiError, match="No TUN"):
        settle(agent.api, JOIN, check=False)
    assert agent.calls[-1] == ("PATCH", "/prefs", {"hostname": ""})


def test_a_coordinator_that_asks_for_a_person_is_a_failure(agent) -> None:
    progresses(agent, {"state": "NeedsLogin", "auth_url": f"{URL}/register/x"})
    with pytest.raises(ApiError, match="asks for a person"):
        settle(agent.api, JOIN, check=False)


def test_a_join_is_not_waited_for_forever(agent) -> None:
    progresses(agent, {"state": "Starting"})
    agent.answers["GET", "/watch"] = lambda _: (
        stands(agent, JOINED) or {"seq": 1, "state": "Starting"}
    )
    with pytest.raises(ApiError, match=r"Not connected after 0\.3 s: the agent is still Starting"):
        settle(agent.api, JOIN, check=False)
    assert [call[1] for call in agent.calls] == ["/up", "/down", "/prefs"]


def test_prefs_that_cannot_be_put_back_are_named(agent) -> None:
    failure = {"code": "key-expired", "message": "It expired."}
    progresses(agent, {"state": "NeedsLogin", "failure": failure})
    agent.answers["PATCH", "/prefs"] = Refusal("error", "The disk is full.")
    with pytest.raises(
        ApiError, match=r"^It expired\. The prefs could not be put back: The disk is"
    ):
        settle(agent.api, JOIN, check=False)


def test_prefs_that_the_agent_refuses_are_not_half_made(agent) -> None:
    agent.answers["POST", "/up"] = Refusal("routes-overlap", "They overlap.")
    with pytest.raises(ApiError, match="They overlap"):
        settle(agent.api, JOIN, check=False)
    assert [call[1] for call in agent.calls] == ["/up"]


def test_a_node_is_stopped_and_taken_out(agent) -> None:
    stands(agent, JOINED, logged_in=True, state="Running")
    settle(agent.api, Wish("stopped", {}), check=False)
    settle(agent.api, Wish("left", {}), check=False)
    assert [call[1] for call in agent.calls] == ["/down", "/logout"]


def test_who_has_left_need_not_leave_again(agent) -> None:
    stands(agent, {**FRESH, "control_url": URL, "logged_out": True})
    assert not settle(agent.api, Wish("left", {}), check=False).changed
    assert not settle(agent.api, Wish("stopped", {}), check=False).changed


def test_prefs_alone_leave_the_connection_as_it_is(agent) -> None:
    done = settle(agent.api, Wish("present", {"shields_up": True}), check=False)
    assert done.changed
    assert agent.calls == [("PATCH", "/prefs", {"shields_up": True})]
