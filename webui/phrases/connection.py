"""The way to coordinator and relay, and what nests in those sentences: controlclient, underlay."""

from typing import Final

from webui.phrases.mark import N_, Template

TEMPLATES: Final[tuple[Template, ...]] = (
    N_(
        "The coordinator at %(url)s cannot be reached: %(why)s. Check its address, and that it is "
        "running."
    ),
    N_("The connection to the coordinator at %(url)s was lost (%(why)s). Connecting again."),
    N_("Relay %(name)s cannot be reached: %(why)s."),
    N_("Relay %(name)s is lost: %(why)s."),
    N_("Relay %(name)s did not answer in %(n)s s."),
    (
        "This node's key has expired. Log in again with `%(command)s`.",
        N_("The login of this box has expired. Log in again under “Settings”."),
    ),
    (
        "%(text)s is not a coordinator's URL. Write it as https://host or http://host.",
        N_("Write the coordinator's address, like https://mesh.example.org."),
    ),
    (
        "The coordinator at %(url)s did not answer within %(n)s s. Check its address, and that no "
        "firewall is in between.",
        N_(
            "The coordinator at %(url)s did not answer within %(n)s s. Check its address, and "
            "that no firewall is in between."
        ),
    ),
    N_("The coordinator at %(url)s closed the connection (%(why)s). Trying again."),
    (
        "The Noise handshake with %(url)s failed: %(why)s.",
        N_("The coordinator at %(url)s and this box do not understand each other: %(why)s."),
    ),
    (
        "The coordinator's name %(host)s is not known. Check the name and this machine's DNS.",
        N_("The coordinator's name %(host)s is not known. Check it, and the internet connection."),
    ),
    ("The CA file %(file)s cannot be used: %(why)s.", N_("%(file)s cannot be used: %(why)s.")),
    (
        "This machine's clock says %(ours)s, but the coordinator's says %(theirs)s, so its "
        "certificate cannot be checked. Set the clock (timedatectl set-ntp true) and try again.",
        N_(
            "This box's clock says %(ours)s, the coordinator's %(theirs)s, so its certificate "
            "cannot be checked. The box sets its clock once it has an internet connection."
        ),
    ),
    (
        "The certificate of %(url)s is not trusted: %(text)s. Check the name, or give the "
        "coordinator's CA certificate.",
        N_("The certificate of %(url)s is not trusted: %(text)s. Check the name."),
    ),
    N_("What answers at %(url)s is no coordinator: %(finding)s. Check the address."),
    N_("it does not speak HTTP as it should (%(why)s)"),
    N_("it does not speak TLS (%(why)s)"),
    N_("it answers %(status)s to %(path)s: %(text)s"),
    N_("it sends us on to %(url)s"),
    N_("it answers %(status)s to /key"),
    N_("its /key is no key"),
    N_("it has no Noise key"),
    N_("The coordinator answered %(status)s: %(text)s. Trying again."),
    N_("The coordinator answered %(status)s: %(text)s."),
    N_("The coordinator's answer cannot be read: %(why)s."),
    N_("The coordinator's map cannot be read: %(why)s."),
    (
        "The coordinator at %(url)s ended the map. Connecting again.",
        N_("The coordinator at %(url)s ended the connection. Connecting again."),
    ),
    N_("it is silent"),
    (
        "The coordinator does not know this node: %(text)s. Log in again.",
        N_("The coordinator does not know this box: %(text)s. Log in again."),
    ),
    N_("The coordinator refused the map with %(status)s: %(text)s."),
    (
        "The coordinator names a login page that is not safe to open: %(text)s",
        N_("The coordinator names a login page that is not safe to open: %(text)s"),
    ),
    (
        "The coordinator says that a brand-new node key has expired.",
        N_("The coordinator says that a brand-new key has expired."),
    ),
    N_("Relay %(name)s refused us: %(why)s."),
    N_("Relay %(name)s has another certificate than the one the coordinator named."),
    N_("Region %(number)s has no relay."),
    N_("it has no address"),
    N_("no answer from %(address)s"),
    N_("the relay closed the connection"),
    N_("the relay map changed"),
    N_("the relay did not answer after the network changed"),
    N_("it is no longer needed"),
    N_("the connection is given up"),
    N_("it is no longer used"),
    N_("the relay has been silent for %(n)s s"),
    N_("the relay did not finish the login within %(n)s s"),
    N_("the other side closed the connection"),
    N_("the other side has stopped reading"),
    N_("the connection is lost: %(why)s"),
    N_("the server closed the connection"),
    N_("the other side ends this HTTP/2 connection"),
    N_("the server does not speak HTTP: %(text)s"),
    # What the kernel says.
    N_("Connection refused"),
    N_("Connection reset by peer"),
    N_("Connection timed out"),
    N_("Network is unreachable"),
    N_("No route to host"),
    N_("Host is down"),
    N_("Broken pipe"),
    N_("Permission denied"),
    N_("Operation not permitted"),
    N_("No space left on device"),
    N_("Read-only file system"),
    N_("Address already in use"),
    N_("Cannot assign requested address"),
    N_("No such file or directory"),
    N_("Input/output error"),
)
