"""Manual pages: a page written by hand, with what the parsers and the settings know filled in.

A line of its own stands for each: @HEADER@ (title, name and version), @SYNOPSIS@, @DESCRIPTION@,
@OPTIONS@ (of the program itself), @COMMANDS@ (each with its options), @EXIT STATUS@ and
@SETTINGS@ (every key of a settings file).
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from image.package.commands import Argument, Command, Option
from image.package.roff import bold, inline, italic, prose
from image.package.settings import Key, Statuses

_PLACE: Final = re.compile(r"@([A-Z ]+)@")


class UnknownPlaceError(Exception):
    """The page asks for something that nobody fills in."""


def render_page(
    name: str,
    page: str,
    command: Command,
    version: str,
    epoch: int,
    statuses: Statuses,
    keys: tuple[Key, ...] = (),
) -> str:
    """Fill a page in; ``name`` is like latchkey-agent.8."""
    places: Mapping[str, Callable[[], list[str]]] = {
        "HEADER": lambda: _header(name, command, version, epoch),
        "SYNOPSIS": lambda: _synopsis(command),
        "DESCRIPTION": lambda: prose(command.description),
        "OPTIONS": lambda: _options(command),
        "COMMANDS": lambda: _commands(command),
        "EXIT STATUS": lambda: _statuses(statuses),
        "SETTINGS": lambda: _settings(keys),
    }
    lines: list[str] = []
    for line in page.splitlines():
        found = _PLACE.fullmatch(line)
        if found is None:
            lines.append(line)
        elif found[1] in places:
            lines += places[found[1]]()
        else:
            raise UnknownPlaceError(f"{name}: nobody knows {line}")
    return "\n".join(lines) + "\n"


def _header(name: str, command: Command, version: str, epoch: int) -> list[str]:
    title, _, section = name.rpartition(".")
    day = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d")
    summary = command.summary.rstrip(".")
    return [
        f'.TH {title.upper()} {section} {day} "Latchkey {version}" "Latchkey"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"{title} \\- {summary}",
    ]


def _synopsis(command: Command) -> list[str]:
    words = [bold(" ".join(command.words))]
    words += [_in_synopsis(option) for option in command.options if option.is_required]
    if any(not option.is_required for option in command.options):
        words.append(f"[{italic('option')} ...]")
    if command.commands:
        words.append(italic("command") if command.takes_command else f"[{italic('command')}]")
        words.append("...")
    words += [_argument(argument) for argument in command.arguments]
    return [" ".join(words)]


def _in_synopsis(option: Option) -> str:
    return (
        f"{bold(option.flags[-1])} {italic(option.value)}"
        if option.value
        else bold(option.flags[-1])
    )


def _argument(argument: Argument) -> str:
    text = italic(argument.name) + (" ..." if argument.may_repeat else "")
    return f"[{text}]" if argument.may_lack else text


def _options(command: Command) -> list[str]:
    lines: list[str] = []
    for argument in command.arguments:
        if argument.help:
            lines += [".TP", italic(argument.name), _sentence(argument.help)]
    for option in command.options:
        lines += [".TP", _flags(option), _sentence(option.help) if option.help else "\\&"]
    return lines


def _flags(option: Option) -> str:
    value = italic(option.value) if option.value else ""
    if value and option.value_may_lack:
        value = f"[{value}]"
    return ", ".join(f"{bold(flag)} {value}".rstrip() for flag in option.flags)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return inline(text if text.endswith(".") else f"{text}.")


def _commands(command: Command) -> list[str]:
    lines: list[str] = []
    for group in command.commands:
        for one in group.walk():
            if one.commands and one.takes_command:
                lines += [f".SS {_title(command, one)}", *prose(one.description)]
            else:
                lines += _command(command, one)
    return lines


def _command(program: Command, command: Command) -> list[str]:
    lines = [f".SS {_title(program, command)}", *_synopsis(command)]
    text = command.description or f"{command.summary[:1].upper()}{command.summary[1:]}."
    lines += [".PP", *prose(text)[1:]] if prose(text)[0] == ".PP" else prose(text)
    return [*lines, *_options(command), *(prose(command.epilog) if command.epilog else [])]


def _title(program: Command, command: Command) -> str:
    return '"' + " ".join(command.words[len(program.words) :]).replace("-", "\\-") + '"'


def _statuses(statuses: Statuses) -> list[str]:
    lines: list[str] = []
    for number, name, text in statuses:
        lines += [".TP", f"{bold(str(number))} {name.replace('-', chr(92) + '-')}", inline(text)]
    return lines


def _settings(keys: tuple[Key, ...]) -> list[str]:
    lines: list[str] = []
    for key in keys:
        default = f" (default {bold(key.default)})" if key.default else ""
        lines += [".TP", f"{bold(key.name)} \\- {italic(key.kind)}{default}"]
        lines.append(inline(key.text) if key.text else "\\&")
    return lines
