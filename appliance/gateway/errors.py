"""What can go wrong with routes and packet filter, split by what the owner would do."""


class GatewayError(Exception):
    """The machine could not be made to match the config; the message says what to do."""


class NotPermittedError(GatewayError):
    """The process may not administer the network."""


class NftMissingError(GatewayError):
    """The program ``nft`` is not installed."""


class RulesetRefusedError(GatewayError):
    """nft or the kernel did not accept our ruleset; the earlier one is still in force."""
