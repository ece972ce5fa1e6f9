"""gateway: subnet router, exit node and packet filter on this machine.

In: a whole ``GatewayConfig``. Out: routes and policy rules by netlink, one nftables table, the
few kernel settings that forwarding needs. Everything carries a mark of ours, so that all of it can
be found and removed again, also after a crash. Tailscale calls this the router.
"""
