from pathlib import Path

import pytest

from appliance.localapi.types import Prefs, Status
from tests.support.webui import LAN
from webui.steps import Step, decide, forget, has_decided, plan_step
from webui.store import Store

OUT = Status(version="", backend_state="NeedsLogin")
IN = Status(version="", backend_state="Running", have_node_key=True)


@pytest.mark.parametrize(
    ("status", "prefs", "founding", "decided", "step"),
    [
        (OUT, Prefs(), False, False, Step.MESH),
        (OUT, Prefs(want_running=True), False, False, Step.CONNECT),
        (OUT, Prefs(), True, False, Step.CONNECT),
        (OUT, Prefs(logged_out=True, advertise_routes=(LAN,)), False, True, Step.MESH),
        (IN, Prefs(want_running=True), False, False, Step.NETWORKS),
        (IN, Prefs(want_running=False), False, False, Step.NETWORKS),
        (IN, Prefs(want_running=True), False, True, Step.DONE),
        (IN, Prefs(want_running=True, advertise_routes=(LAN,)), False, False, Step.DONE),
        (IN, Prefs(want_running=True, advertise_exit_node=True), False, False, Step.DONE),
        (IN, Prefs(), True, True, Step.DONE),
    ],
)
def test_what_is_next_follows_from_what_is(
    status: Status, prefs: Prefs, founding: bool, decided: bool, step: Step
) -> None:
    assert plan_step(status, prefs, founding=founding, decided=decided) is step


def test_a_decision_is_remembered_until_the_mesh_changes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("a")
    assert not has_decided(store)
    decide(store)
    decide(store)
    assert has_decided(store)
    forget(store)
    assert not has_decided(store)
