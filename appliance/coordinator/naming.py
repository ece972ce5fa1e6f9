"""Node names: one DNS label each, unique in the tailnet. Pure."""

import re
from collections.abc import Container
from typing import Final

from appliance.coordinator.errors import InvalidError

MAX_LABEL: Final = 63
"""RFC 1035, section 2.3.4."""

FALLBACK_NAME: Final = "node"

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TAG: Final = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]{0,59}")
_USER: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9])?(@[A-Za-z0-9.-]*)?")
_MAX_USER: Final = 128


def label_from_hostname(hostname: str) -> str:
    """Turn whatever a device calls itself into a DNS label."""
    first = hostname[:255].partition(".")[0].lower()
    label = re.sub(r"[^a-z0-9]+", "-", first).strip("-")[:MAX_LABEL].rstrip("-")
    return label or FALLBACK_NAME


def unique_label(wanted: str, taken: Container[str]) -> str:
    """Return ``wanted``, or with the first free number: ``box``, ``box-1``, ``box-2``."""
    label, number = wanted, 0
    while label in taken:
        number += 1
        suffix = f"-{number}"
        label = wanted[: MAX_LABEL - len(suffix)].rstrip("-") + suffix
    return label


def check_label(name: str) -> str:
    """Return a name that an admin chose, if it is a DNS label."""
    label = name.lower()
    if not _LABEL.fullmatch(label):
        raise InvalidError(
            f"{name[:80]!r} cannot be a node's name: use letters, digits and inner hyphens, "
            f"at most {MAX_LABEL}."
        )
    return label


def check_tag(tag: str) -> str:
    """Return a tag, if it is one."""
    if not _TAG.fullmatch(tag):
        raise InvalidError(
            f"{tag[:80]!r} is not a tag: write tag: and a letter, then letters, digits and hyphens."
        )
    return tag


def check_user_name(name: str) -> str:
    """Return a login name, if it is one."""
    if len(name) > _MAX_USER or not _USER.fullmatch(name):
        raise InvalidError(
            f"{name[:80]!r} cannot be a user's name: use letters, digits, . _ + - and "
            "at most one @."
        )
    return name
