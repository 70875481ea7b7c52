"""What a message says apart from its words: its place, what it names and its numbers. Wording may change."""

import re

__all__ = ["guess", "mentions", "numbers", "places"]


def guess(message: str) -> str | None:
    """The name that a message asks about, as in `did you mean "shell"?`."""
    asked = re.search(r'"([^"]+)"\?', message)
    return asked[1] if asked else None


def mentions(message: str, *names: str) -> bool:
    """Whether each name is there as a word of its own: an option, a file, a column, a value."""
    return all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message) for name in names)


def numbers(message: str) -> list[str]:
    """The numbers of a message, in order, as it writes them: `1,205`, `0.75`."""
    return re.findall(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)", message)


def places(messages: str) -> list[str]:
    """Where each line of messages begins to speak of: `site/a.md:9:4`, `mkdocs.yml:15`."""
    return re.findall(r"^(?:[a-z]+: )?([^\s:]+(?::\d+)+)(?=:)", messages, re.MULTILINE)
