"""plan: from prefs, netmap and the machine's networks to each room's desired state. Pure."""
