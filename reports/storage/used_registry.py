"""The registry files with which compaction last ran: `registry/<application>.toml`. A changed registry is compared with
them, because a table knows only names and types.
"""

from contextlib import suppress

from obstore.store import ObjectStore

from ingest.function.registry import Application, RegistryError, parse

__all__ = ["keep", "kept"]


def _name(application: str) -> str:
    return f"registry/{application}.toml"


def keep(store: ObjectStore, application: Application) -> None:
    """Stores the file, if it has changed."""
    text = application.text.encode()
    with suppress(FileNotFoundError):
        if bytes(store.get(_name(application.id)).bytes()) == text:
            return
    store.put(_name(application.id), text)


def kept(store: ObjectStore, application: str) -> Application | None:
    """The application at the last run. None before the first, or if the file cannot be read."""
    with suppress(FileNotFoundError, RegistryError, UnicodeDecodeError):
        return parse(bytes(store.get(_name(application)).bytes()).decode(), _name(application))
    return None
