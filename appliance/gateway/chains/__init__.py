"""chains: the rules of our nftables table, one chain a function.

In: a ``GatewayConfig`` and its filter, parsed. Out: lines of nft; ``ruleset`` decides which chains
there are and hooks them in. Pure.
"""
