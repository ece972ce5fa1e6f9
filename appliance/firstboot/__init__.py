"""firstboot: the box sets itself up from its card, and shows how to claim it.

In: latchkey.toml on the boot partition, the claim code of the setup page. Out: name, SSH keys,
Wi-Fi and mesh as its owner wants them; the code on every screen and on the boot partition; the
right time where NTP is blocked.
"""
