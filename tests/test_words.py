"""Words: what people read is plain English. `WORDS` are those that came back most often, each with what to write."""

import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORDS = {
    r"mend(s|ed|ing)?": "fix, repair",
    r"(set|puts?) aside|aside": "quarantine, except",
    r"lacking": "missing, without",
    r"told|is told": "reported, said, named",
    r"made[- ]up|makes? up": "generated",
    r"anew": "again, new",
    r"whoever|for who|to who": "a noun, such as: someone, a person who, operators",
    r"of few|few people behind": "of fewer than ten people",
    r"but for|save for": "except",
    r"of one's own|likewise|besides|thereby|heeds?": "of your own, the same, also, respects",
}
TEXT = (".md", ".yml", ".toml", ".sh")
PLACES = ("site", "reports", "ingest", ".github", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")


@cache
def texts(path: Path) -> list[tuple[int, str]]:
    """(Line, words) of a file: all of a text but its code, the comments and strings of a program."""
    return list(_texts(path))


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if tokenize.tok_name[token.type] in ("COMMENT", "STRING", "FSTRING_MIDDLE") and " " in token.string:
                yield token.start[0], re.sub(r"\{[^{}\n]*\}|`[^`\n]+`", "", token.string)
    elif path.suffix in TEXT:
        prose = re.sub(r"(?ms)^[ >]*(`{3,}).*?^[ >]*\1`*$|`[^`\n]+`", lambda code: re.sub(r"[^\n]", " ", code[0]), text)
        yield from enumerate(prose.splitlines(), 1)


FILES = sorted(
    one for name in PLACES for one in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
)


def found(pattern: str) -> list[str]:
    word = re.compile(rf"\b(?:{pattern})\b(?!/)", re.IGNORECASE)
    return [
        f"{path.relative_to(ROOT)}:{line + text[: hit.start()].count(chr(10))}: {hit[0]}"
        for path in FILES
        if path.suffix in (*TEXT, ".py")
        for line, text in texts(path)
        for hit in word.finditer(text)
    ]


@pytest.mark.parametrize("word", WORDS)
def test_no_text_has_a_word_that_reads_as_translated(word: str) -> None:
    assert found(word) == [], f"write: {WORDS[word]}"


def test_no_text_has_both_sides_of_a_merge() -> None:
    texts = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in FILES if path.suffix in TEXT}
    assert [str(name) for name, text in texts.items() if re.search("^(<{7}|>{7}) ", text, re.MULTILINE)] == []


def guides() -> list[str]:
    """The pages of the menu that hold steps."""
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), yaml.BaseLoader)["nav"]
    (docs,) = [group["Docs"] for group in nav if "Docs" in group]
    pages = [page for group in docs for title in ("Tutorials", "How-to guides") for page in group.get(title, ())]
    return [path for page in pages for path in page.values()]


@pytest.mark.parametrize("page", guides())
def test_no_sentence_of_a_guide_has_more_than_thirty_words(page: str) -> None:
    """A table's row and a heading are none; a colon and a semicolon end one; a link counts as its words."""
    prose = "\n".join("" if re.match(r" *(\||#|---)", text) else text for _, text in texts(ROOT / "site" / page))
    prose = re.sub(r"\]\([^)]*\)", "]", re.sub(r"(?m)^ *(-|\d+\.) ", "\n\n", prose))
    sentences = [one for part in re.split(r"\n\s*\n", prose) for one in re.split(r"(?<=[.:;!?])\s", part)]
    assert [" ".join(one.split()) for one in sentences if len(one.split()) > 30] == []
