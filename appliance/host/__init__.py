"""host: adapters to the machine we run on.

Netlink, interface and address changes, kernel settings, files that survive a power cut, the word
to the service manager, marked sockets. Knows nothing of meshes.
"""
