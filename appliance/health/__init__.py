"""health: the catalogue of warnings, and which of them are on now.

In: what the rooms found out, as the whole set of warnings that hold at one moment. Out: the same
set with the time since when each holds, and one log line when a warning comes or goes.
"""
