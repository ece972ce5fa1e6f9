"""card: makes the card that a Raspberry Pi starts from, as one file.

In: a Debian archive, the package latchkey, a profile (which boards, which kernel). Out: the image,
its checksum, block map, list of packages and manifest. Nothing of it runs on the box.
"""
