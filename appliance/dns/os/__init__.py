"""os: how a host looks names up, and how it is made to ask us instead."""
