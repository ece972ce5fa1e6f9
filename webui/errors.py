"""What can go wrong in the setup page itself."""


class SettingsError(Exception):
    """A settings file that does not fit; the text is one sentence."""


class StoreError(Exception):
    """The state directory cannot be used; the text is one sentence."""
