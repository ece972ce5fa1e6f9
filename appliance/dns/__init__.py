"""dns: answers this machine's DNS queries and points the machine at us while it must.

In: a ``DnsConfig`` (who answers what) from the agent. Out: a stub resolver at 100.100.100.100, and
the host's own resolver (systemd-resolved or /etc/resolv.conf) that asks nobody else. While an exit
node is in use every query goes through the tunnel to it, or nowhere. Tailscale calls this
MagicDNS; the names of peers have their place in ``answer``.
"""
