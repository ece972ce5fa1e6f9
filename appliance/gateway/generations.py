"""How one ruleset takes the place of another without a moment between the two. Pure.

The kernel makes the rules of a transaction count at once, but the elements of new interval sets
only some milliseconds later (it goes through the whole transaction first): until then look-ups
find nothing, and new connections that are allowed are dropped. So an update takes two steps. The
first puts sets and chains of a new generation beside those in force, which nothing asks yet. The
second is small: it points the hooks at them and removes the old ones.

The names of a generation end in its tag. A chain on a hook keeps its name; its rules, where they
hold sets of their own, stand in a chain of the generation.

Source: linux net/netfilter/{nf_tables_api,nft_set_pipapo,nft_set_rbtree}.c, 6.18.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

Block = list[str]
"""A set, map or chain as nft reads it: a head that ends in a brace, lines, a closing brace."""

FIRST: Final = ""
"""The tag of what replaces the whole table."""
_OTHER_TAG: Final = {FIRST: "_a", "_a": "_b", "_b": "_a"}

_BODY: Final = "_rules"


@dataclass(frozen=True, slots=True)
class Generation:
    """All blocks of one ruleset under one tag."""

    table: str
    tag: str
    hooks: tuple[tuple[str, ...], ...]
    """Chains on hooks."""
    inner: tuple[tuple[str, ...], ...]
    """Sets, maps and other chains."""

    @classmethod
    def first(cls, table: str, blocks: Iterable[Block]) -> Self:
        """Make the generation that replaces the whole table."""
        return cls._of(table, FIRST, blocks)

    def successor(self, blocks: Iterable[Block]) -> "Generation":
        """Make the generation that takes this one's place."""
        return Generation._of(self.table, _OTHER_TAG[self.tag], blocks)

    @classmethod
    def _of(cls, table: str, tag: str, blocks: Iterable[Block]) -> Self:
        hooks: list[Block] = []
        inner: list[Block] = []
        for block in blocks:
            if not _is_on_hook(block):
                inner.append(block)
            elif any("{" in rule for rule in block[2:]):
                body = _name(block) + _BODY
                inner.append([f"chain {body} {{", *block[2:]])
                hooks.append([*block[:2], f"\tgoto {body}", "}"])
            else:
                hooks.append(block)
        renaming = _Renaming({_name(block) for block in inner}, tag)
        return cls(
            table,
            tag,
            tuple(tuple(map(renaming, block)) for block in hooks),
            tuple(tuple(map(renaming, block)) for block in inner),
        )

    def render_whole(self) -> str:
        """Write what replaces the whole table in one step, whether it exists or not."""
        return render_removal(self.table) + self._table((*self.inner, *self.hooks))

    def render_preparation(self) -> str:
        """Write the first step of an update; nothing asks for it yet."""
        return self._table(self.inner)

    def render_switch(self, before: "Generation") -> str:
        """Write the second step; from here on this generation is in force, ``before`` is gone."""
        names = [_name(block) for block in self.hooks]
        gone = [name for block in before.hooks if (name := _name(block)) not in names]
        lines = [
            *(f"flush chain inet {self.table} {_name(block)}" for block in before.hooks),
            *(f"delete chain inet {self.table} {name}" for name in gone),
        ]
        text = "\n".join(lines) + "\n" + self._table(self.hooks)
        return text + "\n".join(before._removal()) + "\n"

    def _removal(self) -> Iterator[str]:
        chains = [_name(block) for block in self.inner if block[0].startswith("chain ")]
        yield from (f"flush chain inet {self.table} {name}" for name in chains)
        yield from (f"delete chain inet {self.table} {name}" for name in chains)
        for block in self.inner:
            kind, name, _ = block[0].split()
            if kind != "chain":
                yield f"delete {kind} inet {self.table} {name}"

    def _table(self, blocks: Iterable[Iterable[str]]) -> str:
        lines = [f"table inet {self.table} {{"]
        lines += [f"\t{line}" for block in blocks for line in block]
        return "\n".join([*lines, "}"]) + "\n"


def render_removal(table: str) -> str:
    """Write what removes a table, whether it exists or not."""
    return f"table inet {table}\ndelete table inet {table}\n"


class _Renaming:
    """Puts a tag behind the names of a generation, where they are defined and where used."""

    def __init__(self, names: set[str], tag: str) -> None:
        self._tag = tag
        self._names = names
        self._used = re.compile(r"(@|\bgoto |\bjump |^(?:chain|set|map) )(\w+)")

    def __call__(self, line: str) -> str:
        return self._used.sub(self._rename, line) if self._tag else line

    def _rename(self, found: re.Match[str]) -> str:
        tag = self._tag if found[2] in self._names else ""
        return f"{found[1]}{found[2]}{tag}"


def _name(block: Iterable[str]) -> str:
    return next(iter(block)).split()[1]


def _is_on_hook(block: Block) -> bool:
    return len(block) > 1 and block[1].startswith("\ttype ") and " hook " in block[1]
