"""What the setup page asks of the machine beside the mesh: networks, traffic, the coordinator."""

from collections.abc import Callable

from appliance.adminapi.client import AdminClient
from appliance.agent.coordinatorfile import CoordinatorDesk, CoordinatorFile, Membership
from appliance.agent.networks import networks_found
from appliance.agent.plan.inputs import Surroundings
from appliance.agent.settings import Settings
from appliance.agent.traffic import TrafficLog
from appliance.aio.latest import Latest
from appliance.host.medium import observe_medium, read_counters
from appliance.localapi.types import BeCoordinator, CoordinatorSettings, Networks, Traffic


class Box:
    """Keeps the ``BoxBackend`` contract of the Local API."""

    def __init__(
        self, settings: Settings, around: Latest[Surroundings], member: Callable[[], Membership]
    ) -> None:
        self._around = around
        self._traffic = TrafficLog(lambda: read_counters(settings.interface))
        file = CoordinatorFile(
            settings.coordinator_settings, lambda: AdminClient(settings.coordinator_socket)
        )
        self._coordinator = CoordinatorDesk(file, member)

    async def run(self) -> None:
        """Count the traffic until cancelled."""
        await self._traffic.run()

    def networks(self) -> Networks:
        """Tell which networks this machine is attached to."""
        return networks_found(self._around.value.network, observe_medium)

    def traffic(self) -> Traffic:
        """Tell what went through the tunnel in the last hour."""
        return self._traffic.traffic()

    async def coordinator(self) -> CoordinatorSettings:
        """Tell whether this machine is a coordinator, or may become one."""
        return await self._coordinator.role()

    async def be_coordinator(self, request: BeCoordinator) -> CoordinatorSettings:
        """Write the settings that start a coordinator here."""
        return await self._coordinator.write(request)

    async def stop_coordinator(self) -> CoordinatorSettings:
        """Remove those settings, while no other node has joined."""
        return await self._coordinator.delete()
