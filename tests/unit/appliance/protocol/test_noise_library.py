"""The library is found under the name that it has here."""

from appliance.protocol.noise_library import NoiseBackend, NoiseProtocol


def test_the_library_knows_the_pattern_and_takes_a_backend_of_ours() -> None:
    from appliance.protocol.noise_backend import SodiumBackend

    protocol = NoiseProtocol(b"Noise_IK_25519_ChaChaPoly_BLAKE2s", backend=SodiumBackend())

    assert isinstance(SodiumBackend(), NoiseBackend)
    assert protocol.name == b"Noise_IK_25519_ChaChaPoly_BLAKE2s"
