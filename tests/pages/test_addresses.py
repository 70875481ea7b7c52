import pytest

from reports.blocks.block import parse
from reports.pages.addresses import LONGEST, Addresses
from reports.query.sandbox import QueryError


def address(*titles: str) -> list[tuple[str, str | None]]:
    taken = Addresses()
    block = "type: bar\ndata: sessions\nx: shell\ny: people\n"
    texts = [f"{block}title: '{title}'" for title in titles]
    return [taken.of(parse(text), "runs", text) for text in texts]


@pytest.mark.parametrize(
    ("title", "id", "earlier"),
    [
        ("Shells in use!", "shells-in-use", None),
        ("Über uns", "über-uns", "ber-uns"),
        ("シェルの利用", "シェルの利用", "block"),
        ("Версии и системы", "версии-и-системы", "block"),
        ("!?", "block", None),
    ],
)
def test_an_address_has_the_words_of_the_title_in_any_script(title: str, id: str, earlier: str | None) -> None:
    assert address(title) == [(id, earlier)]


def test_an_address_stays_when_a_block_is_added_above() -> None:
    ((before, _),) = address("Системы")
    assert address("Версии", "Системы")[1][0] == before


def test_two_blocks_of_one_title_are_numbered_only_if_they_are_the_same() -> None:
    assert [id for id, _ in address("Shells", "Shells", "Shells")] == ["shells", "shells-2", "shells-3"]
    with pytest.raises(QueryError, match="shells") as raised:
        address("Shells", "Shells!")
    assert raised.value.option == "title"


def test_a_long_title_has_an_address_that_every_file_system_takes() -> None:
    ((id, earlier),) = address("シ" * 300)
    assert (id, earlier) == ("シ" * LONGEST, "block")
    assert len(f"{id}.badge.json".encode()) < 255
