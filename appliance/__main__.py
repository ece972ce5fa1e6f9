"""``latchkey``: one command for the programs and for the command line."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.relay.embedded import EmbeddedRelay
    from appliance.relay.server import Admission


def main(argv: list[str] | None = None) -> int:
    """Run the program that the first argument names; return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    program = arguments[0] if arguments else ""
    if program == "agent":
        from appliance.agent.__main__ import main as agent

        return agent(arguments[1:])
    if program == "coordinator":
        from appliance.coordinator.__main__ import main as coordinator

        return coordinator(arguments[1:], _embedded_relay)
    if program == "relay":
        from appliance.relay.__main__ import main as relay

        return relay(arguments[1:])
    if program == "firstboot":
        from appliance.firstboot.__main__ import main as firstboot

        return firstboot(arguments[1:])
    from appliance.cli.main import main as command_line

    return command_line(arguments)


def _embedded_relay(directory: Path, admit: "Admission") -> "EmbeddedRelay":
    """Make the relay that a coordinator embeds: programs do not import each other."""
    from appliance.relay.embedded import EmbeddedRelay

    return EmbeddedRelay(directory, admit)


if __name__ == "__main__":
    sys.exit(main())
