"""Completion for bash, zsh and fish: scripts that carry the whole command line in them.

Each finds out which command the words so far name, and offers its commands, flags and choices.
"""

import shlex
from typing import Final

from image.package.commands import Argument, Command, Option

_BASH: Final = """\
# bash completion for latchkey(1)
_latchkey() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} path=latchkey expects="" word
    local -i at
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${{COMP_WORDS[at]}}
        if [[ -n $expects && $word == = ]]; then continue; fi
        if [[ -n $expects ]]; then expects=""; continue; fi
        if [[ $word == -* ]]; then expects=$(_latchkey_value "$path" "$word"); continue; fi
        case "$path $word" in
        {paths}) path="$path $word" ;;
        esac
    done
    if [[ $cur == = ]]; then cur=""; fi
    if [[ -n $expects ]]; then
        case $expects in
        file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        any) COMPREPLY=() ;;
        *) mapfile -t COMPREPLY < <(compgen -W "${{expects#=}}" -- "$cur") ;;
        esac
        return
    fi
    local words="" flags="" files=""
    case $path in
{commands}
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
    elif [[ -n $files ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    fi
}}

# What a flag's value is: file, any, or =words; nothing when it takes none.
_latchkey_value() {{
    case "$1 $2" in
{values}
    esac
}}

complete -F _latchkey latchkey
"""

_ZSH: Final = """\
#compdef latchkey
# zsh completion for latchkey(1)

{functions}

_latchkey "$@"
"""

_FISH: Final = """\
# fish completion for latchkey(1)
function __latchkey_path
    set -l path latchkey
    for word in (commandline -opc)[2..-1]
        if contains -- "$path $word" {paths}
            set path "$path $word"
        end
    end
    echo $path
end

function __latchkey_at
    test (__latchkey_path) = "$argv[1]"
end

complete -c latchkey -f
{lines}
"""


def render_bash(root: Command) -> str:
    """Write the script for bash."""
    paths, commands, values = [], [], []
    for command in root.walk():
        path = " ".join(command.words)
        paths += [shlex.quote(path)] if command is not root else []
        words = shlex.quote(" ".join(_words(command)))
        flags = shlex.quote(" ".join(flag for o in command.options for flag in o.flags))
        files = " files=yes" if _wants_files(command) else ""
        commands.append(f"    {shlex.quote(path)}) words={words} flags={flags}{files} ;;")
        for option in command.options:
            kind = _kind(option)
            if kind:
                cases = "|".join(shlex.quote(f"{path} {flag}") for flag in option.flags)
                values.append(f"    {cases}) echo {shlex.quote(kind)} ;;")
    return _BASH.format(
        paths="|".join(paths), commands="\n".join(commands), values="\n".join(values)
    )


def _words(command: Command) -> list[str]:
    """Return what may come next that is not a flag."""
    below = [child.words[-1] for child in command.commands]
    return [*below, *(choice for one in command.arguments for choice in one.choices)]


def _wants_files(command: Command) -> bool:
    return any(argument.is_file for argument in command.arguments)


def _kind(option: Option) -> str:
    if not option.value or option.value_may_lack:
        return ""
    if option.choices:
        return "=" + " ".join(option.choices)
    return "file" if option.is_file else "any"


def render_zsh(root: Command) -> str:
    """Write the script for zsh."""
    return _ZSH.format(functions="\n\n".join(_zsh_function(command) for command in root.walk()))


def _zsh_name(command: Command) -> str:
    return "_" + "_".join(command.words).replace("-", "_")


def _zsh_function(command: Command) -> str:
    specs = ["'(- *)'{-h,--help}'[show help]'"]
    specs += [_zsh_option(option) for option in command.options]
    lines = [f"{_zsh_name(command)}() {{"]
    if not command.commands:
        specs += [_zsh_argument(argument) for argument in command.arguments]
        return "\n".join([*lines, _zsh_arguments("", specs), "}"])
    specs += ["'1: :->command'", "'*:: :->rest'"]
    described = (_zsh_quote(f"{c.words[-1]}:{c.summary}") for c in command.commands)
    calls = (f"    {c.words[-1]}) {_zsh_name(c)} ;;" for c in command.commands)
    return "\n".join(
        [
            *lines,
            "  local context state state_descr line",
            "  typeset -A opt_args",
            _zsh_arguments("-C ", specs),
            "  case $state in",
            "  command)",
            "    local -a commands=(",
            *(f"      {one}" for one in described),
            "    )",
            "    _describe command commands ;;",
            "  rest)",
            "    case $line[1] in",
            *calls,
            "    esac ;;",
            "  esac",
            "}",
        ]
    )


def _zsh_arguments(flags: str, specs: list[str]) -> str:
    return f"  _arguments {flags}\\\n" + " \\\n".join(f"    {spec}" for spec in specs)


def _zsh_option(option: Option) -> str:
    text = _zsh_text(option.help)
    value = f":{_zsh_text(option.value)}:{_zsh_action(option)}" if _kind(option) else ""
    flags = option.flags
    names = flags[0] if len(flags) == 1 else "{" + ",".join(flags) + "}"
    others = f"'({' '.join(flags)})'" if len(flags) > 1 else ""
    return others + names + _zsh_quote(f"[{text}]{value}")


def _zsh_argument(argument: Argument) -> str:
    count = "*" if argument.may_repeat else ""
    lack = ":" if argument.may_lack and not count else ""
    return _zsh_quote(f"{count}:{lack}{_zsh_text(argument.name)}:{_zsh_action(argument)}")


def _zsh_action(value: Option | Argument) -> str:
    if value.choices:
        return f"({' '.join(value.choices)})"
    return "_files" if value.is_file else " "


def _zsh_text(text: str) -> str:
    for sign in "\\[]:":
        text = text.replace(sign, "\\" + sign)
    return text.replace("`", "")


def _zsh_quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def render_fish(root: Command) -> str:
    """Write the script for fish."""
    lines = [line for command in root.walk() for line in _fish_lines(command)]
    paths = [_fish_quote(" ".join(c.words)) for c in root.walk() if c is not root]
    return _FISH.format(paths=" ".join(paths), lines="\n".join(lines))


def _fish_lines(command: Command) -> list[str]:
    path = _fish_quote(" ".join(command.words))
    start = f"complete -c latchkey -n {_fish_quote(f'__latchkey_at {path}')}"
    lines = [
        f"{start} -a {_fish_quote(child.words[-1])} -d {_fish_quote(_fish_text(child.summary))}"
        for child in command.commands
    ]
    for option in command.options:
        value = _fish_value(option)
        text = _fish_quote(_fish_text(option.help))
        lines += [f"{start} {_fish_flag(flag)}{value} -d {text}" for flag in option.flags]
    for argument in command.arguments:
        lines += [f"{start} -F"] if argument.is_file else []
        if argument.choices:
            lines.append(f"{start} -a {_fish_quote(' '.join(argument.choices))}")
    return lines


def _fish_flag(flag: str) -> str:
    return f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"


def _fish_value(option: Option) -> str:
    if not _kind(option):
        return ""
    if option.choices:
        return f" -x -a {_fish_quote(' '.join(option.choices))}"
    return " -r -F" if option.is_file else " -x"


def _fish_text(text: str) -> str:
    return text.replace("`", "")


def _fish_quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
