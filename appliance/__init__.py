"""Latchkey: a home gateway for a WireGuard mesh.

Each sub-package is a room with one responsibility; ``docs/architecture.md`` is the floor plan.
"""
