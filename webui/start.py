"""What happens once when the service starts, before any worker answers."""

from webui.claim import open_door
from webui.errors import StoreError
from webui.settings import Settings
from webui.store import Store, boot_id, boot_seconds


def start(settings: Settings) -> None:
    """Make the store ready, and open the door of a box that nobody owns."""
    store = Store(settings.state_dir)
    store.prepare(boot_id())
    try:
        open_door(store, settings.runtime_dir, settings.state_dir, boot_seconds())
    except OSError as error:
        raise StoreError(
            f"The claim code cannot be written to {settings.runtime_dir} ({error.strerror})."
        ) from error
