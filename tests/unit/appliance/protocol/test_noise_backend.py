import pytest
from nacl.exceptions import CryptoError

from appliance.protocol.noise_backend import SodiumBackend, X25519KeyPair

BACKEND = SodiumBackend()


def test_a_public_key_of_low_order_yields_no_secret() -> None:
    pair = X25519KeyPair.from_private_bytes(bytes(range(32)))
    with pytest.raises(CryptoError):
        BACKEND.diffie_hellmans["25519"]().dh(pair.private, bytes(32))


def test_the_cipher_refuses_changed_additional_data() -> None:
    cipher = BACKEND.ciphers["ChaChaPoly"]()
    sealed = cipher.encrypt(bytes(32), 0, b"data", b"text")
    assert cipher.decrypt(bytes(32), 0, b"data", sealed) == b"text"
    with pytest.raises(CryptoError):
        cipher.decrypt(bytes(32), 0, b"date", sealed)
