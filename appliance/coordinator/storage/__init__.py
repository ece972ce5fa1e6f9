"""storage: the snapshot on disk. Only ``state`` imports it.

In: a whole snapshot. Out: the rows that differ from the last one, in one SQLite transaction.
"""
