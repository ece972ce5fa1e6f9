"""What can go wrong in the relay program, split by what the caller would do."""


class RelayError(Exception):
    """The relay cannot start or go on; the message says what to change."""


class SettingsError(RelayError):
    """The settings file is wrong."""


class CertificateError(RelayError):
    """The certificate cannot be read, made or kept."""
