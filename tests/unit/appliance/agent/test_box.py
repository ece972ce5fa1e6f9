from ipaddress import ip_address, ip_interface
from pathlib import Path

from appliance.agent.box import Box
from appliance.agent.coordinatorfile import Membership
from appliance.agent.plan.inputs import Surroundings
from appliance.agent.settings import Settings
from appliance.aio.latest import Latest
from appliance.host.network import Interface, NetworkState
from appliance.localapi.types import BeCoordinator

ADDRESS = ip_interface("192.168.1.10/24")


async def test_a_box_answers_everything_that_its_page_asks(tmp_path: Path) -> None:
    state = NetworkState((Interface(2, "eth0", None, (ADDRESS,), (ADDRESS.network,)),))
    settings = Settings(
        interface="latchkey-none",
        coordinator_settings=tmp_path / "coordinator.toml",
        coordinator_socket=tmp_path / "admin.sock",
    )
    member = Membership(addresses=(ip_address("192.168.1.10"),))
    box = Box(settings, Latest(Surroundings(network=state)), lambda: member)
    [network] = box.networks().networks
    assert (network.prefix, network.advertisable) == ("192.168.1.0/24", True)
    assert box.traffic().rx_bytes == ()
    if not (await box.coordinator()).by_hand:
        made = await box.be_coordinator(BeCoordinator(server_url="http://192.168.1.10:8080"))
        assert made.configured
        assert not (await box.stop_coordinator()).configured
