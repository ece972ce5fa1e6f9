"""What a TLS client of ours trusts."""

import ssl
from pathlib import Path


def client_context(ca_file: Path | str | None = None) -> ssl.SSLContext:
    """Trust the CAs in a file, or the system's; ``OSError`` when the file cannot be used."""
    context = ssl.create_default_context(cafile=ca_file)
    # From Python 3.13 on it would refuse what owners' own CAs are often made like, and what the
    # system's other programs and stock clients accept.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
