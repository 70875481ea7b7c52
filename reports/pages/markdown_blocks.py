"""The Python-Markdown extension that finds blocks and values, and asks for their text.

A `Conversion` answers. pymdownx.superfences finds the fences, in any nesting. So the blocks that run are the blocks
that are shown. Knows nothing of MkDocs.
"""

import html
import re
import xml.etree.ElementTree as etree
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.postprocessors import Postprocessor
from markdown.preprocessors import Preprocessor
from markdown.treeprocessors import Treeprocessor
from markdown.util import AMP_SUBSTITUTE, ETX, HTML_PLACEHOLDER_RE, STX, AtomicString
from pymdownx.superfences import SuperFencesCodeExtension

from reports.blocks import format

__all__ = ["BRACES", "CODE_TAGS", "VALUE", "Blocks", "Conversion"]

# `${{ … }}` belongs to workflows.
VALUE = r"(?<![$\\{])\{\{[ \t]*(\w+)[ \t]*\.[ \t]*(\w+)[ \t]*\}\}(?!\})"
# What looks like a value where there is none: any text in braces, or a name and a column without the end.
BRACES = r"(?<![$\\{])\{\{(?!\{)(?:[^{}]*\}\}|[^\n]*?\}\}|\s*\w+\s*\.\s*\w+)"
# Stands for a value until the text around it is an element, and marks its place. No text can contain these characters.
MARK = re.compile(f"{STX}abaculus:(\\w+):(\\w+){ETX}")
SAID = "abaculus-value"
PART = re.compile(r"<!-- abaculus: (\w+) -->")
# The beginnings of the two kinds of blocks.
QUERY, CHART = ("sql", "SQL"), ("yaml", "yml", "YAML", "YML")
SILENCE = "There is not enough data yet to say more here."
# In raw HTML: tags, comments and code, in which a value is not text.
CODE_TAGS = re.compile(r"<!--.*?-->|<(script|style|pre|code|textarea)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
NO_TEXT = re.compile(f"{CODE_TAGS.pattern}|<[^>]*>", CODE_TAGS.flags)
LINK, TAG = (
    "a link cannot have its address from data; write the value into the text of the link",
    "an HTML tag cannot have an attribute from data; write the value into the text beside it",
)


class Conversion(Protocol):
    """Answers for blocks and values while a text is converted."""

    def begin(self) -> None:
        """A conversion begins."""

    def block(self, kind: str, name: str, text: str) -> str:
        """The HTML for a block. `kind` is "sql" or "chart", and `name` the name of a query."""

    def other(self, language: str, text: str) -> str | None:
        """Notes a fence that is not a block. None lets it stay unchanged."""

    def value(self, name: str, column: str) -> str:
        """The plain text for a value."""

    def misplaced(self, name: str, column: str, message: str) -> None:
        """Notes a value in a place that cannot have one."""

    def braces(self, text: str) -> None:
        """Notes a text that looks like a value, but stays as it is."""

    def part(self, name: str) -> str:
        """Markdown for `<!-- abaculus: NAME -->`."""


class Blocks(Extension):
    """Asks the conversion that `opened` returns for each new Markdown instance."""

    def __init__(self, opened: Callable[[], Conversion]) -> None:
        super().__init__()
        self.opened = opened

    def extendMarkdown(self, md: Markdown) -> None:
        """Registers all parts of it."""
        conversion = self.opened()
        fences = next((one for one in md.registeredExtensions if isinstance(one, SuperFencesCodeExtension)), None)
        if fences is None:
            fences = SuperFencesCodeExtension()
            fences.extendMarkdown(md)
        for entry in fences.superfences:
            entry["formatter"] = partial(_other, conversion, entry["formatter"])
        for names, kind in ((QUERY, "sql"), (CHART, "chart")):
            for name in names:
                fences.extend_super_fences(name, partial(_block, conversion, kind), partial(_is_block, kind), None)
        stash = _Stash(md)
        # Before everything, after the fences (25), and after the blocks of raw HTML (20).
        md.preprocessors.register(_Begin(conversion), "abaculus_begin", 1_000)
        md.preprocessors.register(_Parts(conversion, stash), "abaculus_parts", 24)
        md.preprocessors.register(_Raw(conversion, stash), "abaculus_raw", 19)
        # After code spans (190), before escapes (180) and everything that could treat the underscores of a name as
        # emphasis.
        md.inlinePatterns.register(_Value(VALUE), "abaculus_value", 185)
        md.inlinePatterns.register(_Braces(conversion), "abaculus_braces", 184)
        # Right after the inline patterns (20), before the table of contents (5) reads the headings.
        md.treeprocessors.register(_Fill(conversion, md), "abaculus_fill", 19)
        # After lists of attributes (8), which must not be confused with a value.
        md.treeprocessors.register(_Unwrap(md), "abaculus_unwrap", 0.5)
        # After raw HTML has been restored (30).
        md.postprocessors.register(_Left(conversion), "abaculus_left", 5)


def _is_block(
    kind: str, language: str, inputs: dict[str, str], options: dict[str, str], attrs: dict[str, str], md: Markdown
) -> bool:
    """Whether one word follows the language: a query's name, or "chart". Options such as linenums="1" do not count."""
    (key, value), *more = [*inputs.items(), ("", "")]
    if key != value or not key or len(more) > 1 or (kind == "chart" and key.lower() != "chart"):
        return False
    options["name"] = key
    return True


def _block(conversion: Conversion, kind: str, *, src: str, options: dict[str, str], **_: Any) -> str:
    return conversion.block(kind, options["name"] if kind == "sql" else "", src)


def _other(conversion: Conversion, inner: Callable[..., Any], *, src: str, language: str, **more: Any) -> Any:
    instead = conversion.other(language or "", src)
    return inner(src=src, language=language, **more) if instead is None else instead


class _Begin(Preprocessor):
    def __init__(self, conversion: Conversion) -> None:
        super().__init__()
        self.conversion = conversion

    def run(self, lines: list[str]) -> list[str]:
        """A Markdown instance may convert several texts."""
        self.conversion.begin()
        return lines


class _Stash:
    """The raw HTML that Markdown stores separately, and how many pieces of it are fences."""

    def __init__(self, md: Markdown) -> None:
        self.md, self.fences = md, 0

    @property
    def pieces(self) -> list[Any]:
        """Texts, or elements, by number."""
        return self.md.htmlStash.rawHtmlBlocks


class _Parts(Preprocessor):
    def __init__(self, conversion: Conversion, stash: _Stash) -> None:
        super().__init__()
        self.conversion, self.stash = conversion, stash

    def run(self, lines: list[str]) -> list[str]:
        """Replaces each line that asks for generated Markdown."""
        self.stash.fences = len(self.stash.pieces)
        made: list[str] = []
        for line in lines:
            found = PART.fullmatch(line)
            made += self.conversion.part(found[1]).split("\n") if found else [line]
        return made


class _Raw(Preprocessor):
    def __init__(self, conversion: Conversion, stash: _Stash) -> None:
        super().__init__()
        self.conversion, self.stash = conversion, stash

    def run(self, lines: list[str]) -> list[str]:
        """Fills the values in blocks of raw HTML."""
        pieces = self.stash.pieces
        for number in range(self.stash.fences, len(pieces)):
            if isinstance(pieces[number], str):
                pieces[number] = self.filled(pieces[number])
        return lines

    def filled(self, piece: str) -> str:
        """The piece with the values in its text."""
        for found in re.finditer(BRACES, re.sub(VALUE, " ", CODE_TAGS.sub(" ", piece))):
            self.conversion.braces(found[0])
        made, at = "", 0
        for tag in NO_TEXT.finditer(piece):
            made += self.text(piece[at : tag.start()]) + self.tag(tag[0])
            at = tag.end()
        return made + self.text(piece[at:])

    def text(self, text: str) -> str:
        """Text between tags."""
        return re.sub(VALUE, lambda found: html.escape(self.conversion.value(found[1], found[2])), text)

    def tag(self, tag: str) -> str:
        """A tag, whose attributes cannot have values. Comments and code have none."""
        if tag.endswith("-->") or re.match(r"<(script|style|pre|code|textarea)\b", tag, re.IGNORECASE):
            return tag
        for found in re.finditer(VALUE, tag):
            self.conversion.misplaced(found[1], found[2], TAG)
        return re.sub(VALUE, "", tag)


class _Value(InlineProcessor):
    def handleMatch(  # type: ignore[override] # the newer form of two
        self, m: re.Match[str], data: str
    ) -> tuple[etree.Element, int, int]:
        """An element that is filled when the text around it is finished, and that no other pattern changes."""
        made = etree.Element("span", {"class": SAID})
        made.text = AtomicString(f"{STX}abaculus:{m[1]}:{m[2]}{ETX}")
        return made, m.start(0), m.end(0)


class _Braces(InlineProcessor):
    def __init__(self, conversion: Conversion) -> None:
        super().__init__(BRACES)
        self.conversion = conversion

    def handleMatch(  # type: ignore[override] # the newer form of two
        self, m: re.Match[str], data: str
    ) -> tuple[None, None, None]:
        """Changes nothing."""
        if not any(code.start() < m.start() < code.end() for code in CODE_TAGS.finditer(data)):
            self.conversion.braces(m[0])
        return None, None, None


class _Fill(Treeprocessor):
    def __init__(self, conversion: Conversion, md: Markdown) -> None:
        super().__init__(md)
        self.conversion = conversion

    def run(self, root: etree.Element) -> None:
        """Fills the values, and removes empty paragraphs."""
        for parent in list(root.iter()):
            for child in list(parent):
                if child.tag == "p" and self.is_nothing(child):
                    parent.remove(child)
        said: dict[etree.Element, tuple[str, str]] = {}
        for element in root.iter():
            for name, given in element.items():
                element.set(name, self.attribute(name, given))
            if element.tag == "span" and (found := MARK.fullmatch(element.text or "")):
                said[element] = found[1], found[2]
                element.text = self.conversion.value(*said[element])
        for parent in root.iter():
            before = parent.text or ""
            for child in parent:
                if child in said and re.search(r"\{:[^{}]*\Z", before):
                    self.conversion.misplaced(*said[child], TAG)
                before = child.tail or ""
        for paragraph in root.iter("p"):
            _sentences(paragraph, [one for one in paragraph.iter("span") if one in said])
        for element in said:
            element.text = _inert(element.text or "")

    def is_nothing(self, paragraph: etree.Element) -> bool:
        """Whether a paragraph contains only a block that shows nothing, such as a query."""
        found = HTML_PLACEHOLDER_RE.fullmatch((paragraph.text or "").strip())
        return found is not None and not len(paragraph) and self.md.htmlStash.rawHtmlBlocks[int(found[1])] == ""

    def attribute(self, name: str, given: str) -> str:
        """An attribute of an element. Only attributes that are text can have a value."""
        if name in ("alt", "title") and MARK.search(given):
            return MARK.sub(lambda found: _inert(self.conversion.value(found[1], found[2])), given)
        if MARK.search(given) or re.search(VALUE, given):
            for found in (*MARK.finditer(given), *re.finditer(VALUE, given)):
                self.conversion.misplaced(found[1], found[2], LINK)
            return ""
        return given


class _Unwrap(Treeprocessor):
    def run(self, root: etree.Element) -> None:
        """Replaces a value with its text, as if the author had written it."""
        for parent in list(root.iter()):
            for child in list(parent):
                if child.tag == "span" and child.get("class") == SAID and not len(child):
                    _merged(parent, child, (child.text or "") + (child.tail or ""))


def _merged(parent: etree.Element, child: etree.Element, text: str) -> None:
    """Replaces an element with a text."""
    at = list(parent).index(child)
    parent.remove(child)
    if at:
        parent[at - 1].tail = (parent[at - 1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def _sentences(paragraph: etree.Element, values: list[etree.Element]) -> None:
    """A paragraph in which all values are missing says that there is no data, instead of a sentence with dashes. In
    other paragraphs, a sentence that is only a missing value is left out.
    """
    nothing = [one for one in values if one.text == format.NOTHING]
    if nothing and len(nothing) == len(values):
        for child in list(paragraph):
            paragraph.remove(child)
        paragraph.text = SILENCE
        return
    for one in nothing:
        _left_out(paragraph, one)


def _left_out(paragraph: etree.Element, value: etree.Element) -> None:
    """Removes a value that is a whole sentence of its paragraph."""
    children = list(paragraph)
    if value not in children:
        return
    before = children[children.index(value) - 1] if children.index(value) else None
    said = (paragraph.text if before is None else before.tail) or ""
    begins = (before is None and not said.strip()) or re.search(r"[.!?]\s+\Z", said)
    ends = re.match(r"\.(?:\s|\Z)", value.tail or "")
    if begins and ends:
        _merged(paragraph, value, (value.tail or "")[ends.end() :])


def _inert(text: str) -> AtomicString:
    """A text for the serializer, which would treat `&copy;` as escaped already."""
    return AtomicString(re.sub(r"&(?=#?\w+;)", f"{AMP_SUBSTITUTE}amp;", text))


class _Left(Postprocessor):
    def __init__(self, conversion: Conversion) -> None:
        super().__init__()
        self.conversion = conversion

    def run(self, text: str) -> str:
        """Removes what was put into a tag, or into text that another extension stores."""
        for found in MARK.finditer(text):
            self.conversion.misplaced(found[1], found[2], TAG)
        return MARK.sub("", text)
