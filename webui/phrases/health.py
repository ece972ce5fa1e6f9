"""The catalogue of warnings (health/catalogue.py), and what fills it: DNS, settings of the host."""

from typing import Final

from webui.phrases.mark import N_, Template

TEMPLATES: Final[tuple[Template, ...]] = (
    # Warnings: titles.
    N_("Not connected"),
    N_("Coordinator unreachable"),
    N_("Relay unreachable"),
    N_("The coordinator says"),
    N_("Key expires soon"),
    N_("Exit node missing"),
    N_("Exit node offline"),
    N_("No IPv6 through the exit node"),
    N_("This home has no IPv6"),
    N_("Route withdrawn"),
    N_("Route waits for approval"),
    N_("LAN renumbered"),
    N_("Route not served"),
    N_("Nothing to advertise"),
    N_("Two networks with the same numbers"),
    N_("Machine setting wrong"),
    N_("Names do not resolve"),
    N_("Another firewall"),
    N_("Clock wrong"),
    # Warnings: what is wrong, and what to do.
    N_("This node's key expires on %(date)s; after that nobody reaches it."),
    (
        "Renew it with `%(command)s`, or let an admin extend it.",
        N_("Log in again under “Settings”, or extend it at the coordinator."),
    ),
    N_(
        "The exit node %(name)s is not there or not approved, so traffic to the internet is held "
        "back."
    ),
    ("Choose another, or none with `%(command)s`.", N_("Choose another exit node, or none.")),
    N_("The exit node %(name)s is offline, so traffic to the internet is held back."),
    (
        "Wait for it, or choose another: `%(command)s`.",
        N_("Wait for it, or choose another exit node."),
    ),
    N_("The exit node %(name)s has no IPv6 at home; IPv6 traffic is blocked, not leaked."),
    N_("This exit node's home has no IPv6; the IPv6 traffic of peers is blocked, not leaked."),
    N_("The route %(prefix)s is withdrawn: %(reason)s."),
    N_("It is advertised again by itself when that network is back."),
    N_("The route %(prefix)s is advertised, but not approved."),
    ("Let an admin run `%(command)s`.", N_("Approve it at the coordinator.")),
    N_("The LAN has new numbers: %(new)s instead of %(old)s. The new route needs an approval."),
    N_("The route %(prefix)s is approved, but not served: %(reason)s."),
    (
        "`latchkey doctor` says what is wrong with this machine.",
        N_("Restart the box; if it stays so, the command `latchkey doctor` says more."),
    ),
    N_("Routes are to be found by themselves, but no LAN is attached to this machine."),
    (
        "Plug in a network, or name subnets with `%(command)s`.",
        N_("Plug in a network cable, or connect the box to Wi-Fi."),
    ),
    N_(
        "%(router)s offers %(prefix)s, but this machine is in a network of these numbers itself; "
        "the own LAN goes first."
    ),
    N_("If it is another LAN, renumber one of the two."),
    N_("Set the clock, or let NTP do it."),
    N_("no interface is in it"),
    N_("%(name)s is %(present)s and should be %(wanted)s: %(why)s"),
    N_("IPv4 passes through for others."),
    N_("IPv6 passes through for others."),
    (
        "Run `%(command)s`, or start Latchkey, which sets it.",
        N_("Restart the box, which sets it."),
    ),
    (
        "Nothing is forwarded until it is %(value)s: run `%(command)s` on the host.",
        N_("Nothing is forwarded until it is %(value)s."),
    ),
    (
        "%(reason)s Nothing is forwarded until it is %(value)s: run `%(command)s` on the host.",
        N_("%(reason)s Nothing is forwarded until it is %(value)s."),
    ),
    N_("Names are not looked up: the exit node %(name)s is not there or not approved."),
    N_("%(path)s cannot be given back: %(why)s"),
    (
        "%(path)s cannot be changed (%(why)s), so names are not looked up while the exit node is "
        "in use. Let this program write it, or use systemd-resolved.",
        N_(
            "%(path)s cannot be changed (%(why)s), so names are not looked up while the exit node "
            "is in use."
        ),
    ),
    N_("systemd-resolved keeps our resolver for now: %(why)s"),
    N_(
        "systemd-resolved cannot be told to ask the exit node (%(why)s), so names are not looked "
        "up while it is in use."
    ),
    (
        "Port %(port)s of %(address)s cannot be had (%(why)s). Stop the program that holds it "
        "(`%(command)s`), or let that one listen on its own addresses only.",
        N_("Another program holds port %(port)s of %(address)s, which names need (%(why)s)."),
    ),
    N_(
        "No port for peers can be had at %(address)s (%(why)s), so this exit node offers no DNS. "
        "Another program may hold them all; it is tried again."
    ),
    N_("Names are not looked up: %(why)s. Nobody else is asked while an exit node is in use."),
    N_("the exit node %(name)s"),
    N_(
        "the exit node offers no DNS, the coordinator names no resolver, and those of this "
        "machine are on its own network"
    ),
    N_("%(who)s does not answer"),
    N_("%(who)s did not answer"),
    N_("%(who)s cannot be asked (%(why)s)"),
    N_("%(who)s does not let us use it as exit node"),
    N_("%(who)s refuses to answer (status %(status)s)"),
    N_("%(who)s has no address to ask"),
    N_("there is no resolver to ask"),
)
