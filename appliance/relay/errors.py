"""What keeps the relay program from starting, with the exit status that says so."""

from appliance.exit_status import ExitStatus


class RelayError(Exception):
    """The relay cannot start; the message says what to change."""

    status = ExitStatus.ERROR


class SettingsError(RelayError):
    """The settings file cannot be read, or says something that cannot be meant."""

    status = ExitStatus.CONFIG_WRONG


class CertificateError(RelayError):
    """The certificate cannot be read or used."""

    status = ExitStatus.CERTIFICATE_UNREADABLE


class PortError(RelayError):
    """A port cannot be listened on."""

    status = ExitStatus.PORT_IN_USE
