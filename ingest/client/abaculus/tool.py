"""The settings of a tool, for all modules of the client."""

from __future__ import annotations

import os
import sys

from abaculus import state

TYPE_CHECKING = False  # only for type checkers; a running tool does not import that module
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Tool", "debug", "prefix", "usable"]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Tool:
    """The arguments of `Telemetry`, which describes them, and values that follow from them."""

    def __init__(
        self,
        application: str,
        version: str,
        endpoint: str,
        collects: Iterable[str] | None = None,
        prompt: str | None = None,
        link: str | None = None,
        packages: Iterable[str] | None = None,
        upload: str = "later",
    ) -> None:
        self.application = application
        self.version = version
        self.prefix = prefix(application)
        self.variable: str = f"{self.prefix}_TELEMETRY"
        self.endpoint: str = usable(os.environ.get(f"{self.variable}_ENDPOINT", "").strip() or endpoint)
        self.collects = None if collects is None else frozenset(collects)
        self.prompt = prompt
        self.link = link
        self.packages = frozenset(packages or (application.replace("-", "_"),)) | {"__main__"}
        self.upload = upload
        self.strict = False
        self._folded: dict[str, str] | None = None
        # The tool's file at this moment, because a tool that runs its user's code may replace it.
        self.main = (getattr(sys.modules.get("__main__"), "__file__", None), *sys.argv[:1])
        self.directory: str | None = state.directory(application)

    def collected(self, path: str) -> str | None:
        """The registry's path for a name, if the tool collects it: containerCount for container_count."""
        if self.collects is None or path in self.collects:
            return path
        if self._folded is None:
            self._folded = {_folded(one): one for one in self.collects}
        return self._folded.get(_folded(path))

    def left_out(self, message: str) -> None:
        """Reports data that is not recorded: in the tool's log, as a warning under `-X dev`, and as ValueError in a
        test.
        """
        debug(message)
        if self.strict:
            raise ValueError(message)
        if sys.flags.dev_mode:
            import warnings

            warnings.warn(message, stacklevel=6)

    def owns(self, module: str) -> bool:
        """Whether a module has the name of one of the tool's packages."""
        return any(f"{module}.".startswith(f"{package}.") for package in self.packages)


def _folded(path: str) -> str:
    return path.replace("_", "").lower()


def debug(message: str) -> None:
    """Writes to the tool's log, if the tool has imported logging."""
    logging = sys.modules.get("logging")
    if logging is not None:
        try:
            logging.getLogger("abaculus").debug(message)
        except Exception:  # noqa: S110 (a broken log handler is no reason to break the tool)
            pass


def prefix(application: str) -> str:
    """The prefix of a tool's variables: capitals, and `_` for other characters than letters and digits."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in application).upper()
    return f"_{name}" if name[:1].isdigit() else name  # shells accept no variable that begins with a digit


def usable(endpoint: str) -> str:
    """The endpoint without a slash at its end. Empty unless it is https, or http to this machine."""
    scheme, separator, rest = endpoint.partition("://")
    if not separator or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return ""
    place, _, path = rest.partition("/")
    host, colon, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
    host, port = (host, port) if colon else (place, "0")
    if not host or not port.isdigit() or any(letter in endpoint for letter in "?#@\\"):
        return ""
    if scheme.lower() != "https" and not (scheme.lower() == "http" and host.lower() in LOOPBACK):
        return ""
    return f"{scheme.lower()}://{place}/{path}".rstrip("/")
