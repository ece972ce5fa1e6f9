"""dataplane: the WireGuard device and its peers.

In: a whole ``DataplaneConfig``, and single endpoint changes from the underlay. Out: the device as
it really is (``DeviceStatus``). Two drivers keep one contract: the kernel's WireGuard over generic
netlink, and wireguard-go over its control socket. No packet passes through this program.
"""
