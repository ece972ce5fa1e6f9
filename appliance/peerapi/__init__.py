"""peerapi: the HTTP port that peers reach over the tunnel.

In: a ``PeerApiConfig`` (our mesh addresses, who may ask) and somebody who answers DNS queries. Out:
a port, which peers learn from our Hostinfo. Serves those who leave through this exit node with DNS
over HTTP.
"""
