from pathlib import Path

import pytest

from reports.building.content_security_policy import apply, policy, scripts

# From the specification's own example: the hash of alert('Hello, world.');
KNOWN = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"


def page(*inside: str) -> str:
    return f"<!doctype html><html><head>{''.join(inside)}</head><body></body></html>"


def test_a_script_in_a_page_is_known_by_its_hash() -> None:
    assert KNOWN in policy([page("<script>alert('Hello, world.');</script>")])


@pytest.mark.parametrize(
    ("element", "found"),
    [
        ("<script>a < b && c</script>", ["a < b && c"]),
        ('<script type="module">x</script>', ["x"]),
        ('<script src="a.js"></script>', []),
        ('<script type="application/json">{"x": 1}</script>', []),
        ("<script>1</script><p>text</p><script>2</script>", ["1", "2"]),
        ("<!-- <script>no</script> -->", []),
        ("&lt;script&gt;no&lt;/script&gt;", []),
    ],
)
def test_only_scripts_that_run_are_hashed(element: str, found: list[str]) -> None:
    assert scripts(page(element)) == found


def test_all_pages_have_one_policy_before_all_else(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(page("<script>one</script>"), encoding="utf-8")
    (tmp_path / "sub" / "more.html").write_text(page("<script>two</script>"), encoding="utf-8")
    given = policy([page("<script>one</script>"), page("<script>two</script>")])
    assert given.count("sha256-") == 2
    apply(tmp_path)
    for path in tmp_path.rglob("*.html"):
        assert f'<head><meta http-equiv="Content-Security-Policy" content="{given}">' in path.read_text(
            encoding="utf-8"
        )


def test_nothing_is_allowed_that_is_not_named() -> None:
    given = policy([])
    assert given.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe-eval" not in given
    assert "*" not in given
    assert "http:" not in given
    assert "https:" not in given


def test_a_page_without_a_head_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.html").write_text("<p>no head</p>", encoding="utf-8")
    with pytest.raises(ValueError, match=r"odd\.html"):
        apply(tmp_path)
