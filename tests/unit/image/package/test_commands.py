"""What parsers know becomes values."""

import argparse
from pathlib import Path

from image.package.commands import Argument, Command, Option, read


def small() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="box", description="A box.")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="the socket")
    commands = parser.add_subparsers(metavar="COMMAND", required=False)
    lid = commands.add_parser("lid", help="open or close the lid")
    lid.add_argument("state", choices=["open", "closed"])
    lid.add_argument("--force", action=argparse.BooleanOptionalAction, help="even so (%(default)s)")
    lid.add_argument("--secret", help=argparse.SUPPRESS)
    commands.add_parser("hidden")
    return parser


def test_a_tree_of_commands_is_read() -> None:
    root = read(small(), ("box",), "a box")
    [lid] = root.commands
    assert [command.words for command in root.walk()] == [("box",), ("box", "lid")]
    assert (root.description, root.takes_command) == ("A box.", False)
    assert root.options == (Option(("--socket",), "PATH", "the socket", is_file=True),)
    assert lid.summary == "open or close the lid"
    assert lid.arguments == (Argument("open|closed", "", ("open", "closed")),)


def test_help_is_filled_in_and_hidden_flags_stay_hidden() -> None:
    lid = read(small(), ("box",)).commands[0]
    assert lid.options == (Option(("--force", "--no-force"), "", "even so (None)"),)


def test_a_grafted_command_replaces_the_one_of_its_name() -> None:
    root = read(small(), ("box",))
    other = Command(("box", "lid"), "another lid", "", "")
    extra = Command(("box", "hinge"), "a hinge", "", "")
    assert root.graft(other, extra).commands == (other, extra)
