"""The Noise library under either of its names: upstream's ``noise``, Debian's ``noiseprotocol``.

Debian's ``noise`` is another thing (simplex noise), so its own name is tried first.
"""

try:
    from noiseprotocol.backends.noise_backend import (  # type: ignore[import-not-found]
        NoiseBackend,
    )
    from noiseprotocol.noise_protocol import NoiseProtocol  # type: ignore[import-not-found]
except ModuleNotFoundError:
    from noise.backends.noise_backend import NoiseBackend
    from noise.noise_protocol import NoiseProtocol

__all__ = ["NoiseBackend", "NoiseProtocol"]
