"""Evidence of routes: agent/routefacts.py, agent/probes.py, agent/plan/routes.py."""

from typing import Final

from webui.phrases.mark import N_, Template

TEMPLATES: Final[tuple[Template, ...]] = (
    N_("Withdrawn: %(reason)s."),
    N_("no interface of this machine leads to it"),
    N_("the interface that had it is disconnected or has lost it"),
    N_("Attached to this machine."),
    N_("%(interface)s is in %(network)s."),
    N_("Behind the default gateway %(gateway)s on %(interface)s."),
    N_("Behind %(gateway)s on %(interface)s."),
    N_("The coordinator lets peers use it."),
    N_("Not while it is withdrawn; the approval is kept."),
    ("An admin must approve it: `%(command)s`.", N_("It must be approved at the coordinator.")),
    N_("Not approved yet."),
    N_(
        "%(where)s, forwarding is on, the packet filter is in force, and the coordinator sends "
        "peers here."
    ),
    N_("the LAN is there"),
    N_("%(interface)s is up"),
    N_("%(name)s carries it; this node stands by."),
    N_("This machine has not been looked at yet."),
    N_("Our packet filter is not in force."),
    N_("The kernel does not forward %(family)s (%(setting)s)."),
    N_("The owner offers this node as exit node."),
    N_("This machine has no default route itself."),
    N_("IPv4 goes out from here; this home has no IPv6, so peers' IPv6 is blocked, not leaked."),
    N_("IPv4 and IPv6 go out from here."),
    N_("IPv6 alone goes out from here."),
    N_("%(name)s offers it, says the coordinator."),
    N_("The coordinator lets this node use it."),
    ("This node does not use it: `%(command)s`.", N_("This box uses no networks of others.")),
    N_("This machine is in %(network)s itself; the own LAN goes first."),
    N_("The key of %(name)s has expired."),
    N_("Another router's route to the same addresses is in use."),
    N_("%(name)s is offline; traffic to the internet is held back."),
    N_("%(name)s is offline."),
    N_("The kernel has no route into the tunnel for it."),
    N_("The kernel has no default route into the tunnel."),
    N_("%(name)s is online, and the kernel sends it into the tunnel."),
    N_("%(name)s is online, and both default routes lead into the tunnel."),
    (
        "No peer's connection went through it and was answered yet; `latchkey routes probe` at a "
        "peer tries it.",
        N_("No device has used it yet. Open something behind it from a device elsewhere."),
    ),
    ("Not tried yet: `latchkey routes probe`.", N_("Not tried yet.")),
    N_("Not while it is not serving."),
    N_("A connection of this machine to %(address)s (%(port)s) was answered; seen at %(time)s."),
    N_("%(name)s reached %(address)s (%(protocol)s), answered at %(time)s."),
    N_("%(address)s answered a probe in %(ms)s ms at %(time)s."),
    N_("%(address)s answered a probe at %(time)s."),
    N_("This machine could not send a probe (%(time)s)."),
    N_("%(name)s has no way to %(network)s (%(time)s)."),
    N_("%(name)s answers only for itself (%(time)s)."),
    N_("no relay has an address to ask"),
    N_("Nobody answered: %(what)s (%(time)s)."),
)
