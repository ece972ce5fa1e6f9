"""Why there is no card."""


class CardError(Exception):
    """The card cannot be made; the text is one sentence that says what to do."""


class UnfitHostError(CardError):
    """Not on this machine, or not as this user."""
