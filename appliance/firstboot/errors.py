"""Why the box could not do what its card says."""


class FirstbootError(Exception):
    """The text is one sentence that says what to do; nothing was applied, or it is done again."""


class ConfigError(FirstbootError):
    """latchkey.toml does not say what can be done; nothing of it was applied."""


class LaterError(FirstbootError):
    """Not now (no network, no agent): it is tried again by itself."""


class ClockRefusedError(FirstbootError):
    """What was said of the time is not to be believed; the clock stays as it is."""
