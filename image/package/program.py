"""Every command of Latchkey as one tree."""

from appliance.agent.settings import parser as agent
from appliance.cli.admin import parser as admin
from appliance.cli.main import parser as command_line
from appliance.coordinator.__main__ import parser as coordinator
from appliance.firstboot.__main__ import parser as firstboot
from appliance.relay.__main__ import parser as relay
from image.package.commands import Command, read

ADMIN = read(admin(), ("latchkey", "admin"), "administer the coordinator of a mesh")
AGENT = read(agent(), ("latchkey", "agent"), "the daemon of a node")
COORDINATOR = read(coordinator(), ("latchkey", "coordinator"), "the coordination server of a mesh")
RELAY = read(relay(), ("latchkey", "relay"), "carry packets between nodes without a direct path")
FIRSTBOOT = read(firstboot(), ("latchkey", "firstboot"), "set a box up at the card's first boot")
NODE = read(command_line(), ("latchkey",), "home gateway for a WireGuard mesh")
WEBUI = Command(("latchkey-webui",), "setup page of a home gateway", "", "")

EVERYTHING = NODE.graft(ADMIN, AGENT, COORDINATOR, RELAY, FIRSTBOOT)
"""For the completion; each program has a manual page of its own."""
