"""mapper: what each node is told. Pure.

In: a snapshot, what changed, and one viewer. Out: the messages of that viewer's map stream.
"""
