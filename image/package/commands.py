"""The command line as values: what argparse parsers know, for the manual and the completion."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """A flag, with the value that it takes."""

    flags: tuple[str, ...]
    value: str
    """What stands for its value in the manual; empty: it takes none."""
    help: str
    choices: tuple[str, ...] = ()
    is_file: bool = False
    is_required: bool = False
    value_may_lack: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """A word that is not a flag."""

    name: str
    help: str
    choices: tuple[str, ...] = ()
    is_file: bool = False
    may_lack: bool = False
    may_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A command or a group of commands; ``words`` is how it is called, the program first."""

    words: tuple[str, ...]
    summary: str
    description: str
    epilog: str
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    commands: tuple["Command", ...] = ()
    takes_command: bool = True
    """With ``commands``: one must be given."""

    def walk(self) -> Iterator["Command"]:
        """Yield it and all below it."""
        yield self
        for command in self.commands:
            yield from command.walk()

    def graft(self, *others: "Command") -> "Command":
        """Return it with these commands beside, or instead of, its own."""
        names = {other.words for other in others}
        kept = tuple(command for command in self.commands if command.words not in names)
        return replace(self, commands=(*kept, *others))


def read(parser: argparse.ArgumentParser, words: tuple[str, ...], summary: str = "") -> Command:
    """Return what a parser knows."""
    options, arguments, commands, required = [], [], [], True
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = _read_commands(action, words)
            required = action.required
        elif action.help == argparse.SUPPRESS or action.dest == "help":
            continue
        elif action.option_strings:
            options.append(_read_option(parser, action))
        else:
            arguments.append(_read_argument(parser, action))
    return Command(
        words=words,
        summary=summary,
        description=(parser.description or "").strip("\n"),
        epilog=(parser.epilog or "").strip("\n"),
        options=tuple(options),
        arguments=tuple(arguments),
        commands=tuple(commands),
        takes_command=required,
    )


def _read_commands(action: Any, words: tuple[str, ...]) -> list[Command]:
    summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
    return [
        read(parser, (*words, name), summaries[name])
        for name, parser in action.choices.items()
        if name in summaries
    ]


def _read_option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    takes_value = action.nargs != 0
    return Option(
        flags=tuple(action.option_strings),
        value=_metavar(action, action.dest.upper()) if takes_value else "",
        help=_help(parser, action),
        choices=_choices(action),
        is_file=action.type is Path,
        is_required=action.required,
        value_may_lack=action.nargs == "?",
    )


def _read_argument(parser: argparse.ArgumentParser, action: argparse.Action) -> Argument:
    return Argument(
        name=_metavar(action, action.dest),
        help=_help(parser, action),
        choices=_choices(action),
        is_file=action.type is Path or action.metavar == "FILE",
        may_lack=action.nargs in ("?", "*"),
        may_repeat=action.nargs in ("*", "+"),
    )


def _metavar(action: argparse.Action, otherwise: str) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(_choices(action)) or otherwise


def _choices(action: argparse.Action) -> tuple[str, ...]:
    return tuple(str(choice) for choice in action.choices or ())


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    return " ".join(formatter._expand_help(action).split()) if action.help else ""
