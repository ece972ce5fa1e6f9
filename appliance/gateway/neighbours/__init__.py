"""neighbours: other firewalls on this host let pass what our table admitted.

A packet that our table accepts must still pass the chains of Docker, ufw, firewalld or an owner's
own nftables. In: the tunnel's name and WireGuard's port. Out: a few rules of ours at the head of
each chain that would drop, or a zone of firewalld for the tunnel; all of it has our name on it,
goes again without a trace, and is put back when the neighbour loads its rules anew.

Each is spoken to by its own tool, so that its own listing goes on working. firewalld is asked by
its program, not over D-Bus: that is three calls at a start or reload, needs no library, and an
owner can type the same. What is there is read from the kernel by netlink, without any program.
"""
