"""The marks of ours: on packets, and on the connections that they belong to.

A packet's mark tells the tables of others what to let pass, and our own NAT what to translate. A
connection's mark tells who opened it and in which direction, and outlives any ruleset.
"""

from typing import Final

MARK_MASK: Final = 0xFF0000
"""The byte of both marks that is ours (and the reference's); other bits belong to others."""
_KEEP_MASK: Final = 0xFFFFFFFF ^ MARK_MASK

ADMITTED_MARK: Final = 0x20000
"""Marks packets that others' tables should let pass."""
SUBNET_MARK: Final = 0x40000
"""The same, and the source address is to be replaced; the reference's number for it."""

CT_THROUGH: Final = 0x20000
"""Marks connections that a peer opened through us."""
CT_TO_US: Final = 0x40000
"""Marks connections that a peer opened to this machine."""
CT_ENTERED: Final = 0x60000
"""Marks connections that a host of an ``entering`` network opened into the mesh."""
CT_CUT: Final = 0x10000
"""Added to one of these: the filter allowed it once and does not any more."""

_FWMARK_BIT: Final = 0x80000
IS_CUT: Final = f"ct mark and {CT_CUT | _FWMARK_BIT:#x} == {CT_CUT:#x}"
IS_NOT_CUT: Final = f"ct mark and {CT_CUT | _FWMARK_BIT:#x} != {CT_CUT:#x}"
IS_FORWARDED: Final = f"ct mark and {MARK_MASK ^ (CT_THROUGH ^ CT_ENTERED):#x} == {CT_THROUGH:#x}"
"""CT_THROUGH or CT_ENTERED, not cut."""
WAS_FORWARDED: Final = f"ct mark and {CT_THROUGH | _FWMARK_BIT:#x} == {CT_THROUGH:#x}"
"""The same, cut or not."""


def set_mark(mark: int) -> str:
    """Write the statement that marks a packet."""
    return f"meta mark set meta mark and {_KEEP_MASK:#010x} or {mark:#x}"


def set_ct_mark(mark: int) -> str:
    """Write the statement that marks a connection."""
    return f"ct mark set ct mark and {_KEEP_MASK:#010x} or {mark:#x}"
