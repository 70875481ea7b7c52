"""The pages of this project, over generated sessions: what they say is what the generator made true."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ingest import registry
from ingest.bucket import open_bucket
from reports import sample, warehouse
from reports.page import front_matter
from reports.plugin import build
from reports.site import Page, Site
from tests.sites import fill

ROOT = Path(__file__).parent.parent
PAGES = sorted(ROOT.glob("site/**/*.md"))
END = datetime.now(UTC)
# Stronger than the usual ones, so that few sessions show them.
TRUTHS = sample.Truths(task_not_found=0.10, completion_effect=0.50)
Session = dict[str, Any]


@cache
def sessions() -> list[Session]:
    return list(sample.sessions(9_000, users=1_000, seed=3, end=END, truths=TRUTHS))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "bucket"
    fill(path, sessions(), registry.load(ROOT / "ingest" / "applications"))
    return path


@pytest.fixture(scope="module")
def site(bucket: Path) -> Iterator[Site]:
    known = registry.load(ROOT / "ingest" / "applications")
    made = Site(warehouse.fetch(open_bucket(str(bucket)), str(bucket), known), now=END)
    yield made
    made.connection.close()


Read = Callable[[str, str], list[dict[str, str]]]


@pytest.fixture(scope="module")
def read(site: Site) -> Read:
    """Rows of the CSV that a page offers for one of its blocks."""
    pages: dict[str, Page] = {}

    def rows(name: str, block: str) -> list[dict[str, str]]:
        if name not in pages:
            source = (ROOT / "site" / f"{name}.md").read_text()
            body = source.split("---\n", 2)[2]
            pages[name] = site.page(body, file=f"site/{name}.md", source=source, name=name, root="./")
            assert site.faults == []
        return list(csv.DictReader(io.StringIO(pages[name].files[f"data/{name}/{block}.csv"].decode())))

    return rows


def is_person(session: Session) -> bool:
    return not session["attributes"]["runningInCi"]


def people_by(key: Callable[[Session], Any]) -> Counter[Any]:
    found: dict[Any, set[str]] = defaultdict(set)
    for session in sessions():
        if is_person(session):
            found[key(session)].add(session["userId"])
    return Counter({name: len(people) for name, people in found.items()})


def failed_to_find(session: Session) -> bool:
    return bool(session["attributes"]["failureReason"] == "TaskNotFound")


def test_every_page_builds_strictly(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    out = build(str(bucket), tmp_path / "out")
    assert {path.stem for path in PAGES} <= {path.stem for path in out.rglob("*.html")}
    made = b"".join(path.read_bytes() for path in out.rglob("*") if path.suffix in (".html", ".csv", ".json"))
    assert b"Made-up data" in made
    # Six people have this engine.
    assert TRUTHS.odd_engine.encode() not in made
    assert not [path for path in out.rglob("*.parquet") if TRUTHS.odd_engine.encode() in path.read_bytes()]


def test_no_page_of_ours_fails_for_a_tool_that_declares_nothing(tmp_path: Path) -> None:
    known = {"bare": registry.parse('id = "bare"\nname = "Bare"')}
    made = Site(warehouse.fetch(open_bucket(str(tmp_path)), str(tmp_path), known), now=END)
    shown = ""
    for path in PAGES:
        source = path.read_text()
        _, body = front_matter(source)
        page = made.page(body, file=str(path), source=source, name=path.stem, root="./")
        shown += "".join(page.pieces.values())
    made.connection.close()
    assert made.faults == []
    assert "role = &quot;shell&quot;" in shown


def test_people_and_runs_are_those_that_were_made(read: Read) -> None:
    assert read("index", "people") == [{"people": str(people_by(lambda session: None)[None])}]
    assert read("index", "runs") == [{"count": "9000"}]


def test_the_share_that_fails_with_task_not_found_is_found_again(read: Read) -> None:
    (row,) = read("errors", "fail-with-task-not-found")
    made = sum(map(failed_to_find, sessions())) / len(sessions())
    assert float(row["share(task_not_found)"]) == pytest.approx(made)
    assert made == pytest.approx(TRUTHS.task_not_found, abs=0.012)


def test_that_completion_helps_is_found_again(read: Read) -> None:
    shares = {
        row["tab_completion_used"]: float(row["share(task_not_found)"])
        for row in read("errors", "task-not-found-by-use-of-tab-completion")
    }
    assert 1 - shares["yes"] / shares["no"] == pytest.approx(TRUTHS.completion_effect, abs=0.12)


def test_the_ranking_of_shells_is_found_again(read: Read) -> None:
    found = {row["shell"]: int(row["people"]) for row in read("environment", "people-by-shell")}
    expected: Counter[str] = Counter()
    for system, share in TRUTHS.systems.items():
        for shell, part in TRUTHS.shells[system].items():
            expected[shell] += share * part  # type: ignore[assignment]
    counted = people_by(lambda session: session["attributes"]["shellName"])
    total = sum(counted.values())
    # The smallest are together in "Other".
    assert found.pop("Other") >= 10
    assert found == {shell: counted[shell] for shell in found}
    assert len(found) >= 4
    for shell, number in found.items():
        assert number / total == pytest.approx(expected[shell], abs=0.05)
    assert [shell for shell in found if shell != "other"][:2] == [shell for shell, _ in expected.most_common(2)]


def test_adoption_of_versions_is_found_again(read: Read) -> None:
    rows = read("versions", "share-of-runs-by-version")
    starts = sorted({row["start_time"] for row in rows})
    assert 5 <= len(starts) <= 27
    step = datetime.fromisoformat(starts[1]) - datetime.fromisoformat(starts[0])
    assert step == timedelta(weeks=1)
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for session in sessions():
        day = datetime.fromisoformat(session["sessionStartTime"]).date()
        monday = day - timedelta(days=day.weekday())
        counted[f"{monday}T00:00:00Z"][session["applicationVersion"]] += 1
    for start in starts:
        shown = {row["application_version"]: float(row["share"]) for row in rows if row["start_time"] == start}
        assert sum(shown.values()) == pytest.approx(1)
        # What is held back is no part of the whole, so a share can only be larger than it was made.
        total = counted[start].total()
        for version, share in shown.items():
            if version != "Other":
                assert counted[start][version] / total <= share + 1e-9
                assert share == pytest.approx(counted[start][version] / total, abs=0.05)
    # A release spreads: the newest one before the last four weeks is run by more in a later week than in its first.
    newest = [version for version, time in sample.releases(END, TRUTHS) if time < END - timedelta(weeks=4)][-1]
    shares = [float(row["share"]) for row in rows if row["application_version"] == newest]
    assert max(shares[1:]) > shares[0]


def test_the_last_weeks_are_the_last_weeks(read: Read) -> None:
    last = max(datetime.fromisoformat(session["sessionStartTime"]) for session in sessions())
    recent = [s for s in sessions() if datetime.fromisoformat(s["sessionStartTime"]) >= last - timedelta(days=28)]
    counted = Counter(session["applicationVersion"] for session in recent)
    rows = {row["application_version"]: int(row["count"]) for row in read("versions", "the-last-four-weeks")}
    rows.pop("Other", None)
    assert rows
    assert all(counted[version] == number for version, number in rows.items())
