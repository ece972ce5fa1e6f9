"""What every kernel under QEMU's emulation is told."""

from __future__ import annotations

from typing import Final

SAME_ADDRESSES: Final = "norandmaps"
"""A word for an emulated kernel: programs have the same addresses in each process.

QEMU before 8.0 translates code once for each virtual address that it is seen at. With random ones a
page of libc or of the initramfs's shell gathers a translation for every process; once the page is
used anew, QEMU searches a list of all of them for each one, and the machine stands still, for 20 s
or for minutes. Twice as fast without.
"""
