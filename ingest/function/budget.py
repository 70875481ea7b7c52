"""The bytes that a process holds for all its requests: bodies as they arrive, inflated bodies, and answers."""

__all__ = ["Budget", "Full", "Hold"]


class Full(Exception):
    """Raised if there is no room for so many bytes."""


class Budget:
    """The bytes that all requests of a process may hold together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def hold(self) -> "Hold":
        """The part of one request, at first nothing. At the end of its `with`, the part is free again."""
        return Hold(self)


class Hold:
    """What one request holds."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.size = 0

    def resize(self, size: int, *, arriving: bool = False) -> None:
        """Sets how much the request holds now. Raises `Full` if this is too much, and changes nothing.

        Bodies that are still `arriving` get half of the budget, so that slow clients leave room for the others.
        """
        more = size - self.size
        if more > 0 and self._budget.used + more > self._budget.limit // (2 if arriving else 1):
            raise Full
        self._budget.used += more
        self.size = size

    def settle(self, size: int) -> None:
        """Sets how much the request holds at its end, even if there is no room."""
        self._budget.used += size - self.size
        self.size = size

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *_: object) -> None:
        self.settle(0)
