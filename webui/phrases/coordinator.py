"""What a coordinator and the two APIs answer: coordinator, adminapi, localapi."""

from typing import Final

from webui.phrases.mark import N_, Template

TEMPLATES: Final[tuple[Template, ...]] = (
    (
        "The coordinator refused this node: %(said)s",
        N_("The coordinator refused this box: %(said)s"),
    ),
    (
        "This pre-auth key is not known here. Check that it is complete and of this coordinator, "
        "or ask an admin for a new one.",
        N_("The coordinator does not know this key."),
    ),
    ("Ask an admin for a new one.", N_("Make a new one.")),
    ("This pre-auth key was revoked. %(advice)s", N_("This key was revoked. %(advice)s")),
    (
        "This pre-auth key expired on %(date)s. %(advice)s",
        N_("This key expired on %(date)s. %(advice)s"),
    ),
    (
        "This pre-auth key was for one use and has been used. %(advice)s",
        N_("This key was good for one device, and has been used. %(advice)s"),
    ),
    (
        "An admin turned this device away. Ask again in five minutes, or log in with a pre-auth "
        "key.",
        N_(
            "Somebody who manages the mesh turned this box away. Ask again in five minutes, or "
            "use a key."
        ),
    ),
    (
        "This node key has just been registered. Try again.",
        N_("This box has just been registered. Try again."),
    ),
    (
        "This node was deleted a moment ago. Log in again.",
        N_("This box was deleted a moment ago. Log in again."),
    ),
    (
        "This node key belongs to another machine.",
        N_("The coordinator takes this box for another machine."),
    ),
    (
        "This node key belongs to another machine. Log out on this device and log in again, so "
        "that it makes a key of its own.",
        N_("The coordinator takes this box for another machine."),
    ),
    (
        "No device waits under %(id)s. Entries live for a quarter of an hour: see `latchkey admin "
        "nodes pending`, or log in on the device again.",
        N_("No device waits under %(id)s any more. Log in on the device again."),
    ),
    (
        "There is no node %(name)s. See `latchkey admin nodes list`.",
        N_("There is no device %(name)s in the mesh any more."),
    ),
    (
        "There is no user %(name)s. Make one with `latchkey admin users create`.",
        N_("The coordinator has no user %(name)s."),
    ),
    N_("There is a user %(name)s already."),
    N_(
        "All addresses of %(pool)s are in use. Delete nodes that are gone, or set a larger "
        "prefixes.v4."
    ),
    (
        "The state could not be written: %(why)s.",
        N_("The coordinator cannot write to its disk: %(why)s."),
    ),
    N_("%(prefix)s cannot be a subnet route: it contains %(what)s."),
    N_("the tailnet's own addresses"),
    N_("loopback addresses"),
    N_("link-local addresses"),
    N_("multicast addresses"),
    (
        "%(prefix)s contains %(whose)s: nodes would lose their way to it. Approve smaller routes "
        "that leave it out.",
        N_(
            "%(prefix)s contains %(whose)s: devices would lose their way to it. Choose smaller "
            "networks that leave it out."
        ),
    ),
    N_("the relay's address %(address)s"),
    N_("this coordinator's own address %(address)s"),
    (
        "%(text)s is not a route: write it like 192.168.1.0/24, or exit.",
        N_("%(text)s is not a network. Write 192.168.1.0/24."),
    ),
    N_("%(text)s has bits set after its prefix length. Did you mean %(network)s?"),
    N_("The agent broke off: %(why)s"),
    N_("The coordinator broke off: %(why)s"),
    (
        "The agent's answer cannot be read. Is it of the same version?",
        N_("The parts of this box do not fit together. Restart it; if that is in vain, update it."),
    ),
    (
        "The coordinator's answer cannot be read. Is it of the same version?",
        N_("The parts of this box do not fit together. Restart it; if that is in vain, update it."),
    ),
    (
        "The agent has no such call.",
        N_("The parts of this box do not fit together. Restart it; if that is in vain, update it."),
    ),
    (
        "The coordinator has no such call.",
        N_("The parts of this box do not fit together. Restart it; if that is in vain, update it."),
    ),
    ("The request does not fit: %(why)s", N_("That is not possible: %(why)s")),
)
