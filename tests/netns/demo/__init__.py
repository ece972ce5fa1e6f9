"""demo: the whole mesh on a small internet, step by step, as `make demo` shows it.

In: nothing but root and the programs of this repository. Out: a table of what was tried and what
came back; with --check an exit status, without it a running world to play with until Ctrl-C.
"""
