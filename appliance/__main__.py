"""``latchkey``: one command for the programs and for the command line."""

import sys


def main(argv: list[str] | None = None) -> int:
    """Run the program that the first argument names; return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    program = arguments[0] if arguments else ""
    if program == "agent":
        from appliance.agent.__main__ import main as agent

        return agent(arguments[1:])
    if program == "coordinator":
        from appliance.coordinator.__main__ import main as coordinator

        return coordinator(arguments[1:])
    if program == "relay":
        from appliance.relay.__main__ import main as relay

        return relay(arguments[1:])
    from appliance.cli.main import main as command_line

    return command_line(arguments)


if __name__ == "__main__":
    sys.exit(main())
