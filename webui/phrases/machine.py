"""What keeps the agent from making the machine as it should be: dataplane, gateway, host."""

from typing import Final

from webui.phrases.mark import N_, Template

TEMPLATES: Final[tuple[Template, ...]] = (
    N_("The kernel setting %(name)s cannot be read: %(why)s."),
    (
        "The kernel setting %(name)s cannot be set to %(value)s (%(why)s); set it by hand, or let "
        "this program run as root.",
        N_("The kernel setting %(name)s cannot be set to %(value)s (%(why)s)."),
    ),
    N_(
        "The directory %(path)s cannot be made or made private (%(why)s); check its owner, or "
        "choose another one."
    ),
    N_(
        "%(path)s cannot be written (%(why)s); check the disk's free space and the directory's "
        "owner."
    ),
    N_("%(path)s cannot be read (%(why)s); check its owner and mode."),
    N_("%(path)s is larger than %(n)s bytes, so it is not ours; move it away."),
    N_("%(path)s cannot be removed (%(why)s)."),
    N_("%(path)s is damaged. Move it away and log in again, or restore it."),
    N_("The kernel refused policy rule %(rule)s: %(why)s."),
    N_("The kernel refused the route to %(network)s: %(why)s."),
    N_("The program nft is missing; install the package nftables."),
    N_("nft did not finish in %(n)s s; the earlier rules are still in force."),
    N_("nftables cannot be read: %(why)s."),
    N_(
        "nft refused our rules, the earlier ones are still in force: %(text)s (is the kernel's "
        "nf_tables module there?)"
    ),
    (
        "This program may not administer the network; run it as root or give it CAP_NET_ADMIN.",
        N_(
            "The agent may not change the network. Restart the box; if need be, reinstall latchkey."
        ),
    ),
    (
        "This program may not administer WireGuard; run it as root or give it CAP_NET_ADMIN.",
        N_(
            "The agent may not change the network. Restart the box; if need be, reinstall latchkey."
        ),
    ),
    N_("The WireGuard device %(interface)s cannot be used: %(why)s."),
    N_(
        "There is a network interface %(interface)s already that is not ours (%(kind)s); remove "
        "it, or choose another interface name."
    ),
    (
        "The interface %(interface)s disappeared; somebody removed it, so it has to be opened "
        "again.",
        N_("The tunnel %(interface)s has disappeared; it is opened again."),
    ),
    (
        "The interface %(interface)s %(what)s: this program may not administer the network; run "
        "it as root or give it CAP_NET_ADMIN.",
        N_(
            "The agent may not change the network. Restart the box; if need be, reinstall latchkey."
        ),
    ),
    (
        "The interface %(interface)s %(what)s: it disappeared.",
        N_("The tunnel %(interface)s has disappeared; it is opened again."),
    ),
    N_("The interface %(interface)s %(what)s: %(why)s."),
    N_("cannot be made"),
    N_("cannot be given its addresses"),
    N_("cannot be removed"),
    N_("stays off"),
    (
        "wireguard-go stopped; the tunnel has to be opened again.",
        N_("wireguard-go stopped; the tunnel is opened again."),
    ),
    (
        "wireguard-go no longer answers (%(why)s); the tunnel has to be opened again.",
        N_("wireguard-go no longer answers (%(why)s); the tunnel is opened again."),
    ),
    N_("The control socket of %(interface)s cannot be used (%(why)s)."),
    N_(
        "A wireguard-go in another network namespace serves an interface named %(interface)s; "
        "choose another interface name."
    ),
    N_("%(program)s did not come up in %(n)s s."),
    N_(
        "%(program)s stopped at once; its own message is in this log. Try another wireguard-go, "
        "or a kernel with WireGuard."
    ),
    N_(
        "%(device)s cannot be opened (%(why)s): load the kernel's tun module (modprobe tun), or "
        "let the container have the device."
    ),
    N_(
        "UDP port %(port)s is in use by another program; stop that program, or choose another "
        "port for the tunnel."
    ),
    N_("The WireGuard device %(interface)s refused a change (%(text)s)."),
    N_("The WireGuard device %(interface)s is not open."),
    (
        "The WireGuard device %(interface)s disappeared while in use; it has to be opened again.",
        N_("The tunnel %(interface)s has disappeared; it is opened again."),
    ),
    N_("wireguard-go cannot be understood: %(text)s."),
    (
        "wireguard-go does not bring %(interface)s up; its own message is in this log.",
        N_("wireguard-go does not bring %(interface)s up; the box's log says more."),
    ),
    N_("%(program)s is not a wireguard-go that runs here; correct the path in the settings."),
    N_(
        "This kernel has no WireGuard and no wireguard-go was found; install the package "
        "wireguard-go, or a kernel with WireGuard."
    ),
    N_("The loopback interface is unusable: %(why)s."),
    (
        "Raw sockets are refused: run the agent as root or give it CAP_NET_RAW.",
        N_(
            "The agent may not change the network. Restart the box; if need be, reinstall latchkey."
        ),
    ),
    (
        "Packet marks are refused: run the agent as root or give it CAP_NET_ADMIN.",
        N_(
            "The agent may not change the network. Restart the box; if need be, reinstall latchkey."
        ),
    ),
)
