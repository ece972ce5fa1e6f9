"""What can go wrong with names."""


class DnsError(Exception):
    """The machine's resolver cannot be pointed at us or given back; the message says what to do."""


class ForwardError(Exception):
    """Nobody answered a query; the message says who was asked."""
