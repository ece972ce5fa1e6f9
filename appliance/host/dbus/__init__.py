"""dbus: services on the system bus, a module each, named after their place on the bus.

The library is loaded when a bus is opened and not before: most agents never need one.
"""
