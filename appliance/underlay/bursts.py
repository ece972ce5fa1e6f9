"""Runs of equally long packets, as the kernel's UDP offloads give and take them.

One read of a socket with UDP_GRO, or one write with UDP_SEGMENT, carries up to 64 packets of the
same length back to back (the last may be shorter). One system call instead of dozens is what makes
the relay path fast.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# From linux: UDP_MAX_SEGMENTS of older kernels, and the longest UDP payload over IPv4.
MAX_SEGMENTS: Final = 64
MAX_BURST: Final = 65_507


@dataclass(frozen=True, slots=True)
class Burst:
    """Packets that one system call can send; ``size`` is that of all but the last."""

    packets: Sequence[memoryview]
    size: int


def split_burst(data: memoryview, size: int) -> list[memoryview]:
    """Cut what one read delivered into packets."""
    if size <= 0 or len(data) <= size:
        return [data]
    return [data[start : start + size] for start in range(0, len(data), size)]


def plan_bursts(packets: Sequence[memoryview]) -> Iterator[Burst]:
    """Group neighbours into bursts, in order; an empty packet goes alone."""
    start, total = 0, 0
    for i, packet in enumerate(packets):
        size = len(packets[start])
        if i > start and (
            len(packet) > size
            or len(packets[i - 1]) != size
            or not len(packet)
            or i - start >= MAX_SEGMENTS
            or total + len(packet) > MAX_BURST
        ):
            yield Burst(packets[start:i], size)
            start, total = i, 0
        total += len(packet)
    if packets:
        yield Burst(packets[start:], len(packets[start]))
