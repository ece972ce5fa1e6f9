"""The programs by which rules of others are changed: nft, iptables and firewalld's own.

A rule of ours goes by its handle, whoever wrote it; it comes by the tool that lists the chain, so
that the listing of that tool stays whole.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from appliance.gateway.neighbours import legacy
from appliance.gateway.neighbours.chains import ChainName
from appliance.gateway.neighbours.plan import Change, Entry

TIMEOUT_S: Final = 15.0
"""firewall-cmd takes a third of a second, on a small board some; while firewalld loads, longer."""
_RESTORE: Final = {"ip": "iptables-nft-restore", "ip6": "ip6tables-nft-restore"}


class ToolError(Exception):
    """A program is missing or refused; the message is its own word."""


async def run(*command: str, text: str = "") -> str:
    """Run a program to its end and return what it said."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be run ({error.strerror})") from error
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, complaint = await process.communicate(text.encode())
    except TimeoutError:
        raise ToolError(f"{command[0]} did not finish in {TIMEOUT_S:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        reason = (complaint or said).decode(errors="replace").strip().split("\n", 1)[0][:200]
        raise ToolError(f"{command[0]} refused: {reason or process.returncode}")
    return said.decode(errors="replace")


async def carry_out(change: Change) -> None:
    """Remove and add rules of ours in one chain."""
    if program := legacy.PROGRAMS.get(change.place.chain.family):
        lines = _insertions(change.place.chain, change.add)
        text = legacy.render(change.place.chain, change.remove, lines)
        await run(f"{program}-restore", "--noflush", "--wait", "5", text=text)
        return
    if change.remove:
        await run("nft", "-f", "-", text=render_removal(change.place.chain, change.remove))
    if not change.add:
        return
    if change.place.is_iptables:
        try:
            await _add_by_iptables(change.place.chain, change.add)
        except ToolError:
            pass  # no iptables on this host: nobody lists the chain by it either
        else:
            return
    await run("nft", "-f", "-", text=render_nft(change.place.chain, change.add))


async def _add_by_iptables(chain: ChainName, entries: tuple[Entry, ...]) -> None:
    program = _RESTORE[chain.family]
    await run(program, "--noflush", "--wait", "5", text=render_iptables(chain, entries))


def render_removal(chain: ChainName, handles: Iterable[int]) -> str:
    """Write what removes rules by their handles."""
    return "".join(f"delete rule {chain} handle {handle}\n" for handle in handles)


def render_nft(chain: ChainName, entries: tuple[Entry, ...]) -> str:
    """Write what puts entries at the head of a chain, for nft; the last one goes in first."""
    return "".join(
        f'insert rule {chain} {entry.nft} counter accept comment "{entry.comment}"\n'
        for entry in reversed(entries)
    )


def render_iptables(chain: ChainName, entries: tuple[Entry, ...]) -> str:
    """Write what puts entries at the head of a chain, for iptables-restore."""
    return "\n".join([f"*{chain.table}", *_insertions(chain, entries), "COMMIT", ""])


async def list_legacy(family: str) -> legacy.Listing:
    """Read the legacy filter table of a family."""
    return legacy.parse_listing(family, await run(legacy.PROGRAMS[family], "--wait", "5", "-S"))


def _insertions(chain: ChainName, entries: tuple[Entry, ...]) -> list[str]:
    return [
        f'-I {chain.name} {number} {entry.iptables} -m comment --comment "{entry.comment}" '
        "-j ACCEPT"
        for number, entry in enumerate(entries, 1)
    ]
