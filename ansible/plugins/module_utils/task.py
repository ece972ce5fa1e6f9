"""What every module of the collection does around its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .unixapi import ApiError


def run(module: Any, work: Callable[[], dict[str, Any]]) -> None:
    """End the module with the work's result, or with one sentence of why there is none."""
    try:
        result = work()
    except ApiError as error:
        module.fail_json(msg=str(error), code=error.code)
        return
    except KeyError as error:
        module.fail_json(
            msg=f"The answer lacks {error}; are Latchkey here and this collection of one version?",
            code="error",
        )
        return
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    module.exit_json(**result)


def diff(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a diff of the keys that differ, beside the whole of a thing that comes or goes."""
    if not before or not after:
        return {"before": before, "after": after}
    differing = [name for name in after if before.get(name) != after[name]]
    return {
        "before": {name: before.get(name) for name in differing},
        "after": {name: after[name] for name in differing},
    }
