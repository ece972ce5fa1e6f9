import pytest

from tests.support.webtexts import speaking
from webui.platforms import PLATFORMS, Platform


def test_there_is_a_way_for_each_kind_of_device() -> None:
    assert list(PLATFORMS) == ["ios", "android", "macos", "windows", "linux", "box"]


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=lambda platform: platform.id)
def test_each_has_steps_and_a_way_for_a_key(platform: Platform) -> None:
    with speaking("en"):
        assert all(map(str, platform.steps))
    assert platform.key_steps or platform.key_command
    assert not platform.command or "{url}" in platform.command
    assert "{key}" not in platform.command


@pytest.mark.parametrize("platform", ["macos", "windows", "linux"])
def test_commands_name_the_coordinator_and_the_key(platform: str) -> None:
    command = PLATFORMS[platform].key_command.format(url="http://192.168.1.5:8080", key="lkauth-1")
    assert "--login-server=http://192.168.1.5:8080 --auth-key=lkauth-1" in command
