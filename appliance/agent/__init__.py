"""agent: the node agent, which joins the rooms into one program.

In: the owner's prefs (Local API), the netmap (control client), what the machine looks like
(netmon). Out: desired states for the WireGuard device, the gateway and the underlay.
``reconfigure`` is the one place that says what happens on a new netmap.
"""
