"""Wishes that are refused, and being the coordinator: netmap/prefs.py and agent."""

from typing import Final

from webui.phrases.mark import N_, Template

TEMPLATES: Final[tuple[Template, ...]] = (
    # Networks that are not to be offered (agent/networks.py).
    N_("%(interface)s is a tunnel to somewhere else, not a network at home."),
    (
        "Containers or virtual machines of this machine use it; it is no network at home.",
        N_("Containers or virtual machines of this box use it; it is no network at home."),
    ),
    N_("It is too small to be a network at home: it links this machine to a provider."),
    N_("Its addresses are public: they belong to the provider and may change."),
    # Being the coordinator, and prefs that are refused (agent/coordinatorfile.py, netmap/prefs.py).
    (
        "This machine is already in the mesh of %(url)s. Leave that mesh first (`%(command)s`).",
        N_("This box is already in the mesh of %(url)s. Leave that mesh first."),
    ),
    (
        "This machine is a coordinator by %(file)s, which its owner wrote: change that file "
        "instead.",
        N_("This box is a coordinator by the file %(file)s: change that file instead."),
    ),
    (
        "Other nodes have joined this machine's mesh, so it cannot %(what)s: they would lose it. "
        "Delete them first.",
        N_("Other devices have joined this box's mesh, and would lose it. Remove them first."),
    ),
    N_("%(one)s and %(other)s overlap. Advertise only the larger of the two."),
    N_("It is one already."),
    N_("The coordinator cannot be asked who has joined: %(why)s"),
    (
        "There is no %(directory)s, so no coordinator can start here. Install the package "
        "`latchkey`, which makes it.",
        N_("There is no %(directory)s, so no coordinator can start here. Reinstall latchkey."),
    ),
    N_("Write it like %(example)s."),
    N_("%(text)s is not an address. %(hint)s"),
    (
        "%(text)s is not an address that nodes can log in to. %(hint)s",
        N_("%(text)s is not an address that devices can log in to. %(hint)s"),
    ),
    (
        "The address must end after the port: nodes drop what follows. %(hint)s",
        N_("The address must end after the port: devices drop what follows. %(hint)s"),
    ),
    (
        "Port %(port)s of this machine belongs to %(owner)s. %(hint)s",
        N_("Port %(port)s of this box belongs to %(owner)s. %(hint)s"),
    ),
    N_("the setup page"),
    N_("the relay"),
    N_("0 is not a port. %(hint)s"),
    N_("%(text)s is not a domain. %(hint)s"),
    (
        "%(domain)s contains the coordinator's own name %(host)s: nodes would look for it inside "
        "the mesh. Choose another domain.",
        N_(
            "%(domain)s contains the coordinator's own name %(host)s: devices would look for it "
            "inside the mesh. Choose another domain."
        ),
    ),
    N_("%(text)s is not the name of a machine. %(hint)s"),
    (
        "Other machines cannot find %(host)s. %(hint)s",
        N_("Other devices cannot find %(host)s. %(hint)s"),
    ),
    (
        "%(address)s is inside the mesh, which nodes must join first. %(hint)s",
        N_("%(address)s is inside the mesh, which devices must join first. %(hint)s"),
    ),
    (
        "%(address)s is not an address of this machine. %(hint)s",
        N_("%(address)s is not an address of this box. %(hint)s"),
    ),
    (
        "%(route)s contains the coordinator (%(address)s), which every node must reach without "
        "this one. Advertise a smaller subnet.",
        N_(
            "%(route)s contains the coordinator (%(address)s), which every device must reach "
            "without this box. Choose a smaller network."
        ),
    ),
    (
        "%(route)s contains the relay %(name)s (%(address)s), which every node must reach without "
        "this one. Advertise a smaller subnet.",
        N_(
            "%(route)s contains the relay %(name)s (%(address)s), which every device must reach "
            "without this box. Choose a smaller network."
        ),
    ),
    (
        "%(route)s contains this machine's default gateway %(gateway)s, and more than its own "
        "LAN. %(advice)s",
        N_(
            "%(route)s contains the router %(gateway)s of this home, and more than its network. "
            "%(advice)s"
        ),
    ),
    (
        "Advertise %(lan)s instead, and other subnets by name.",
        N_("Choose %(lan)s instead, and other networks one by one."),
    ),
    ("Advertise a smaller subnet.", N_("Choose a smaller network.")),
    (
        "A node cannot use an exit node and be one. Choose --exit-node or --advertise-exit-node, "
        "not both.",
        N_("A box that uses an exit node cannot be one. Switch one of the two off."),
    ),
    (
        "A host name has at most 63 characters.",
        N_("A name has up to 63 letters a to z, digits and hyphens."),
    ),
    (
        "%(text)s is not a subnet. Write it as 192.168.1.0/24, with the bits after the prefix "
        "zero.",
        N_("%(text)s is not a network. Write 192.168.1.0/24."),
    ),
    (
        "%(network)s is not a subnet route. To carry all traffic use --advertise-exit-node.",
        N_("%(network)s is no single network. To carry all traffic choose “Exit node”."),
    ),
    N_("%(network)s cannot be routed for others: it is local to each machine."),
    ("These prefs do not fit: %(why)s", N_("That is not possible: %(why)s")),
    (
        "Say which coordinator to log in to: latchkey up --login-server URL.",
        N_("Choose a mesh first."),
    ),
    (
        "Not connected. Run `latchkey up` first.",
        N_("This box is not connected. Connect it under “Settings”."),
    ),
    (
        "This node uses %(what)s, so there is nothing to probe. See `latchkey routes`.",
        N_("This box uses no such route now, so there is nothing to try."),
    ),
    (
        "No node is called %(name)s. `latchkey status` lists them.",
        N_("No device is called %(name)s."),
    ),
)
