import argparse
from typing import Any

import pytest

from appliance.cli.prefs import add_flags, changes_of


def changes(*arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return changes_of(parser.parse_args(list(arguments)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {}),
        (("--advertise-routes", "auto, 10.0.0.0/8"), {"advertise_routes": ["auto", "10.0.0.0/8"]}),
        (("--advertise-routes", ""), {"advertise_routes": []}),
        (("--accept-routes",), {"accept_routes": True}),
        (("--no-accept-routes",), {"accept_routes": False}),
        (("--accept-routes=false",), {"accept_routes": False}),
        (("--accept-routes=true", "--shields-up"), {"accept_routes": True, "shields_up": True}),
        (("--exit-node", ""), {"exit_node": ""}),
    ],
)
def test_only_given_flags_change_prefs(
    arguments: tuple[str, ...], expected: dict[str, Any]
) -> None:
    assert changes(*arguments) == expected


def test_a_truth_value_is_true_or_false() -> None:
    with pytest.raises(SystemExit):
        changes("--accept-routes=perhaps")
