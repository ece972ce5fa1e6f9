"""Running nft, and asking the kernel whether our table is still there.

The question goes by netlink, because starting nft takes 10 ms and a question should not.
nfnetlink: family u8 | version u8 (0) | resource u16 | attributes (``host.netlink``).
Source: linux include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h, 6.12.
"""

import asyncio
import errno
import struct
from dataclasses import dataclass
from typing import Final

from appliance.gateway.errors import (
    GatewayError,
    NftMissingError,
    NotPermittedError,
    RulesetRefusedError,
)
from appliance.gateway.ruleset import TABLE
from appliance.host.errors import NetlinkError
from appliance.host.netlink import (
    NETLINK_NETFILTER,
    NetlinkSocket,
    attribute_text,
    parse_attributes,
)

_NFT_MSG_GETTABLE: Final = 10 << 8 | 1
_NFPROTO_INET: Final = 1
_NFTA_TABLE_NAME: Final = 1
_NFTA_TABLE_USE: Final = 3
_NFTA_TABLE_HANDLE: Final = 4

NFT_TIMEOUT_S: Final = 20.0
"""nft takes 15 ms; the largest ruleset that we write takes about a second."""


@dataclass(frozen=True, slots=True)
class TableIdentity:
    """What tells our loaded table from none, an emptied one, or another of the same name."""

    handle: bytes
    use: bytes


async def load(ruleset: str) -> None:
    """Have nft carry out a text as one transaction."""
    try:
        process = await asyncio.create_subprocess_exec(
            "nft",
            "-f",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise NftMissingError(
            "The program nft is missing; install the package nftables."
        ) from error
    try:
        async with asyncio.timeout(NFT_TIMEOUT_S):
            _, complaint = await process.communicate(ruleset.encode())
    except TimeoutError:
        raise RulesetRefusedError(
            f"nft did not finish in {NFT_TIMEOUT_S:.0f} s; the earlier rules are still in force."
        ) from None
    finally:
        if process.returncode is None:  # given up: it must change nothing any more
            process.kill()
            await process.wait()
    if process.returncode:
        raise _refused(complaint.decode(errors="replace"))


def identify() -> TableIdentity | None:
    """Look at our table in the kernel; None when it is not there."""
    question = struct.pack("!BBH", _NFPROTO_INET, 0, 0) + attribute_text(_NFTA_TABLE_NAME, TABLE)
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as netlink:
            answers = netlink.request(_NFT_MSG_GETTABLE, question)
    except NetlinkError as error:
        if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL):
            return None
        if error.errno in (errno.EPERM, errno.EACCES):
            raise not_permitted() from error
        raise GatewayError(f"nftables cannot be read: {error}.") from error
    for answer in answers:
        found = dict(parse_attributes(answer, 4))
        return TableIdentity(found.get(_NFTA_TABLE_HANDLE, b""), found.get(_NFTA_TABLE_USE, b""))
    return None


def not_permitted() -> NotPermittedError:
    """Say what a process without the capability needs."""
    return NotPermittedError(
        "This program may not administer the network; run it as root or give it CAP_NET_ADMIN."
    )


def _refused(complaint: str) -> GatewayError:
    first_line = complaint.strip().split("\n", 1)[0][:300]
    if "Operation not permitted" in complaint:
        return not_permitted()
    return RulesetRefusedError(
        f"nft refused our rules, the earlier ones are still in force: {first_line} "
        "(is the kernel's nf_tables module there?)"
    )
