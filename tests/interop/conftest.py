"""The world of the interop tests."""

from tests.support.interop import interop

__all__ = ["interop"]
