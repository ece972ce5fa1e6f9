"""The documents say what the code says."""

from pathlib import Path

from appliance.exit_status import ExitStatus

ROOT = Path(__file__).resolve().parents[2]


def test_every_exit_status_is_documented() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    missing = [
        status.code for status in ExitStatus if f"| {status.value} | `{status.code}` |" not in text
    ]
    assert missing == []


def test_every_room_is_on_the_floor_plan() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [path.parent.name for path in (ROOT / "appliance").glob("*/__init__.py")]
    assert [room for room in rooms if f"`{room}/`" not in text] == []
