"""The pages of this project, over generated sessions: what they say is what the generator made true."""

import csv
import html
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from ingest.function import registry
from ingest.function.bucket_url import open_bucket
from reports.blocks.format import NOTHING
from reports.building.build import build
from reports.pages.front_matter import front_matter
from reports.pages.site import Page, Site
from reports.pages.source import Source
from reports.query.snapshot import fetch
from reports.sample import cairn_sessions
from reports.sample.cairn_truths import COMMANDS
from reports.storage.releases import keep
from tests.attackers import demo, linked
from tests.losses import END as SMALL
from tests.losses import data
from tests.messages import mentions
from tests.sites import fill, site_of, source, written

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ALL = sorted(ROOT.glob("site/**/*.md"))
# Without those that are templates of other pages.
PAGES = [path for path in ALL if "for" not in front_matter(path.read_text(encoding="utf-8")).meta]
# The last Wednesday at noon: the same sessions each time, but for the names of the months.
NOW = datetime.now(UTC)
END = (NOW - timedelta(days=(NOW.weekday() - 2) % 7 or 7)).replace(hour=12, minute=0, second=0, microsecond=0)
# Stronger than the usual ones, so that few sessions show them.
TRUTHS = cairn_sessions.Truths(task_not_found=0.10, completion_effect=0.50)
Session = dict[str, Any]


@cache
def sessions() -> list[Session]:
    return list(cairn_sessions.sessions(9_000, users=1_000, seed=3, end=END, truths=TRUTHS))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "bucket"
    fill(path, sessions(), registry.load(ROOT / "ingest" / "applications"))
    dates = [
        {"version": version, "released": f"{time:%Y-%m-%dT%H:%M:%SZ}"} for version, time in cairn_sessions.releases(END)
    ]
    keep(open_bucket(str(path)), cairn_sessions.APPLICATION, dates)
    return path


@pytest.fixture(scope="module")
def site(bucket: Path) -> Iterator[Site]:
    known = registry.load(ROOT / "ingest" / "applications")
    with site_of(bucket, known, now=END) as made:
        yield made


def named(path: Path) -> str:
    """A page's name, as in its address."""
    return path.relative_to(ROOT / "site").with_suffix("").as_posix()


@cache
def sources() -> dict[str, Source]:
    """All pages as they are written, by their paths."""
    return {f"{named(path)}.md": source(path.read_text(encoding="utf-8"), path=f"{named(path)}.md") for path in ALL}


Read = Callable[[str, str], list[dict[str, str]]]
Said = Callable[[str], str]


def made(site: Site, name: str) -> Page:
    """A page of ours, without a fault."""
    page = site.page(source((ROOT / "site" / f"{name}.md").read_text(encoding="utf-8"), path=f"{name}.md"))
    assert site.faults == []
    return page


def table(page: Page, name: str, block: str) -> list[dict[str, str]]:
    """Rows of the CSV that a page offers for one of its blocks."""
    return list(csv.DictReader(io.StringIO(page.files[f"data/{name}/{block}.csv"].decode())))


@pytest.fixture(scope="module")
def pages(site: Site) -> dict[str, Page]:
    """Every page, made once, and those that templates generate."""
    ran = site.run(sources())
    assert site.faults == []
    return {path.removesuffix(".md"): page for path, page in ran.by_path.items()}


@pytest.fixture(scope="module")
def read(pages: dict[str, Page]) -> Read:
    """Rows of what a page shows in one of its blocks."""
    return lambda name, block: table(pages[name], name, block)


@pytest.fixture(scope="module")
def said(pages: dict[str, Page]) -> Said:
    """The words of a page as its readers see them, on one line."""
    made = {
        name: re.sub(r"<figure.*?</figure>|<[^>]*>", "", written(page), flags=re.DOTALL) for name, page in pages.items()
    }
    return lambda name: " ".join(html.unescape(made[name]).split())


def told(words: str, *names: str) -> bool:
    """Whether one sentence of a page has all these names and numbers."""
    return any(mentions(sentence, *names) for sentence in re.split(r"(?<=\.) ", words))


def is_person(session: Session) -> bool:
    return not session["attributes"]["runningInCi"]


def start(session: Session) -> datetime:
    return datetime.fromisoformat(session["sessionStartTime"])


def people_by(key: Callable[[Session], Any]) -> Counter[Any]:
    found: dict[Any, set[str]] = defaultdict(set)
    for session in sessions():
        if is_person(session):
            found[key(session)].add(session["userId"])
    return Counter({name: len(people) for name, people in found.items()})


def rounded(number: int) -> int:
    """As public numbers of people and runs are."""
    return math.floor(number / 5 + 0.5) * 5


def share(part: int, whole: int) -> float:
    return rounded(part) / rounded(whole)


def newest() -> datetime:
    """When the last session came in: the windows of pages are counted from then."""
    return max(datetime.fromisoformat(session["sessionEndTime"]) for session in sessions())


def last_days(days: int) -> list[Session]:
    first = newest() - timedelta(days=days)
    return [session for session in sessions() if start(session) > first]


def failed_to_find(session: Session) -> bool:
    return bool(session["attributes"]["failureReason"] == "TaskNotFound")


def test_every_page_builds_strictly(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said: list[str] = []
    out = build(str(bucket), tmp_path / "out", say=said.append)
    assert said == [], "our pages have no mistake and no warning"
    assert {path.stem for path in PAGES} <= {path.stem for path in out.rglob("*.html")}
    made = b"".join(path.read_bytes() for path in out.rglob("*") if path.suffix in (".html", ".csv", ".json"))
    assert b"ab-sample" in made
    newest, _ = cairn_sessions.releases(END)[-1]
    own = " ".join(html.unescape((out / f"version-{newest}.html").read_text(encoding="utf-8")).split())
    assert f"Version {newest}" in own
    assert re.search(r"<p>\d+ people ", own)
    assert f'href="version-{newest}.html"' in (out / "version.html").read_text(encoding="utf-8")
    # Nothing in its data folder is a number that the rule cannot have made.
    assert demo.exact(out / "data") == []
    # What is left of all people beside the shown categories is a step, and the best guess of who they are is wrong.
    hidden = demo.leftovers(out / "data")
    assert all(left % 5 == 0 for left in hidden.values())
    found = linked.groups(out / "data")
    assert len(found) > 100 and linked.determined(found) == {}
    # Six people have this engine.
    assert TRUTHS.odd_engine.encode() not in made
    assert not [path for path in out.rglob("*.parquet") if TRUTHS.odd_engine.encode() in path.read_bytes()]


def test_no_page_of_ours_fails_for_a_tool_that_declares_nothing(tmp_path: Path) -> None:
    known = {"bare": registry.parse('id = "bare"\nname = "Bare"')}
    with site_of(tmp_path, known, now=END) as made:
        shown = "".join(map(written, made.run(sources()).by_path.values()))
    assert made.faults == []
    for role in ("shell", "install_channel", "exception_type"):
        assert f"role = &quot;{role}&quot;" in shown


def test_one_title_is_one_definition_on_the_whole_site(pages: dict[str, Page]) -> None:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for page in pages.values():
        for one in page.series:
            # One may have an interval and the other none.
            depth = len(one.published.dimensions) + 1
            numbers = [row[:depth] for row in one.published.rows]
            found[one.title][f"{page.name}#{one.id}"] = (one.scope, one.published.names[:depth], numbers)
    assert {
        title: list(places) for title, places in found.items() if len({str(one) for one in places.values()}) > 1
    } == {}
    # Every number of people's rows says its window and its population.
    assert {
        one.id for page in pages.values() for one in page.series if one.published.unit and "CI" not in one.scope
    } == set()


def test_answers_are_filtered_by_what_fits(pages: dict[str, Page]) -> None:
    everywhere = {"os", "application_version", "start_time"}
    own = max((name for name in pages if name.startswith("version-")), key=lambda name: len(pages[name].series))
    answers = ("overview", "versions", "environments", "commands", "failures", "speed", "support", own)
    found = {name: [one for series in pages[name].series for one in series.published.filters] for name in answers}
    assert {name: {one.column for one in filters if one.series} for name, filters in found.items()} == {
        # A card shows the last week, and the pages of versions are by version. People are never in CI.
        "overview": {"os", "application_version", "ci"}, "versions": {"os", "ci"}, "environments": everywhere,
        "commands": everywhere | {"ci"}, "failures": everywhere | {"ci"}, "speed": everywhere | {"ci"},
        "support": everywhere, own: {"os", "start_time"},
    }  # fmt: skip


def test_runs_of_ci_are_chosen_and_counted_by_hand(pages: dict[str, Page]) -> None:
    (series,) = [one for one in pages["failures"].series if one.id == "by-version"]
    (in_ci,) = [dict(one.series)["yes"] for one in series.published.filters if one.column == "ci"]
    runs: dict[str, list[bool]] = defaultdict(list)
    for one in sessions():
        if not is_person(one):
            runs[one["applicationVersion"]].append(one["attributes"]["exitCode"] != 0)
    shown = {row[0]: row[1] for row in in_ci.rows if row[0] != "Other" and row[1]}
    assert len(shown) > 3
    assert shown == {version: share(sum(runs[str(version)]), len(runs[str(version)])) for version in shown}
    windows = {one.column: [name for name, _ in one.series] for one in series.published.filters}["start_time"]
    assert windows == ["last 4 weeks", "last 12 weeks", "last 26 weeks"]


def test_the_effects_of_the_generator_stand_out(read: Read, said: Said) -> None:
    found = {(row["measure"], row["category"]): row for row in read("failures", "findings")}
    bad = found["runs_that_fail", TRUTHS.bad_release]
    assert float(bad["low"].strip("'+").split()[0]) > 0
    assert told(said("failures"), TRUTHS.bad_release, bad["value"], bad["others"])
    assert ("runs_that_fail", TRUTHS.bad_release) in {
        (row["measure"], row["category"]) for row in read("overview", "findings")
    }


@pytest.mark.parametrize("people", [12, 50])
def test_no_page_of_ours_fails_for_a_tool_of_few_people(tmp_path: Path, people: int) -> None:
    few = Site(data(tmp_path / "bucket", people), now=SMALL)
    with few.connection:
        ran = few.run(sources())
    assert few.faults == []
    # What versions.md says of the pages of versions is true where there is none, too.
    made = len(ran.generated["version.md"])
    said = ran.by_path["versions.md"].said["own", "phrase"]
    assert (made > 0) == (people > 12)
    assert mentions(said, "No" if made == 0 else "One" if made == 1 else str(made))


def test_people_and_runs_are_those_that_were_made(read: Read) -> None:
    systems = people_by(lambda session: session["attributes"]["osName"])
    assert {row["os"]: int(row["people"]) for row in read("environments", "systems")} == {
        name: rounded(number) for name, number in systems.items()
    }
    assert read("environments", "all-runs") == [{"count": "9000"}]


def test_the_ranking_of_shells_is_found_again(read: Read) -> None:
    found = {row["shell"]: int(row["people"]) for row in read("environments", "shells")}
    expected: Counter[str] = Counter()
    for system, share in TRUTHS.systems.items():
        for shell, part in TRUTHS.shells[system].items():
            expected[shell] += share * part  # type: ignore[assignment]
    counted = people_by(lambda session: session["attributes"]["shellName"])
    total = sum(counted.values())
    found.pop("Other", None)
    assert found == {shell: rounded(counted[shell]) for shell in found}
    assert len(found) >= 4
    for shell, number in found.items():
        assert number / total == pytest.approx(expected[shell], abs=0.05)
    assert [shell for shell in found if shell != "other"][:2] == [shell for shell, _ in expected.most_common(2)]


def test_adoption_of_versions_is_found_again(read: Read) -> None:
    rows = read("versions", "by-week")
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
        # What is not shown is a part of the whole, too.
        assert 0.5 < sum(shown.values()) <= 1 + 1e-9
        total = counted[start].total()
        for version, part in shown.items():
            if version != "Other":
                assert part == pytest.approx(counted[start][version] / total, abs=5 / total)
    # A release spreads: the newest one before the last four weeks is run by more in a later week than in its first.
    newest = [version for version, time in cairn_sessions.releases(END, TRUTHS) if time < END - timedelta(weeks=4)][-1]
    shares = [float(row["share"]) for row in rows if row["application_version"] == newest]
    assert max(shares[1:]) > shares[0]


def test_the_last_weeks_are_the_last_weeks(read: Read) -> None:
    counted = Counter(session["applicationVersion"] for session in last_days(28))
    rows = {row["application_version"]: int(row["count"]) for row in read("versions", "recent")}
    rows.pop("Other", None)
    assert rows
    assert rows == {version: rounded(counted[version]) for version in rows}


def test_the_overview_says_the_last_four_weeks(said: Said) -> None:
    recent = list(filter(is_person, last_days(28)))
    before = len(list(filter(is_person, last_days(56)))) - len(recent)
    people = len({s["userId"] for s in recent})
    change = (rounded(len(recent)) / rounded(before) - 1) * 100
    assert change > 2
    assert told(
        said("overview"), f"{rounded(people)} people", f"{rounded(len(recent)):,} times", f"{change:.0f} % more"
    )
    failed = share(sum(s["attributes"]["exitCode"] != 0 for s in recent), len(recent))
    assert told(said("overview"), f"{failed * 100:.1f} %", "failed")


def test_the_overview_compares_the_last_whole_week_with_the_one_before(read: Read) -> None:
    monday = (END - timedelta(days=END.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    mine = list(filter(is_person, sessions()))
    last = [s for s in mine if monday - timedelta(days=7) <= start(s) < monday]
    before = [s for s in mine if monday - timedelta(days=14) <= start(s) < monday - timedelta(days=7)]
    people = [rounded(len({s["userId"] for s in week})) for week in (last, before)]
    runs = [rounded(len(week)) for week in (last, before)]
    rows = {row["what"]: row for row in read("overview", "the-last-whole-week-and-the-one-before-it")}
    for what, (now, then) in (("People", people), ("Runs", runs)):
        assert (rows[what]["last_week"], rows[what]["week_before"]) == (str(now), str(then))
        # A difference of one step may be rounding alone.
        assert (rows[what]["change"] == "no change") == (abs(now - then) <= 5)


def test_the_share_that_fails_with_task_not_found_is_found_again(read: Read) -> None:
    failed = [one for one in filter(is_person, last_days(28)) if one["attributes"]["failureReason"]]
    shares = {row["failure_reason"]: float(row["share"]) for row in read("failures", "by-reason")}
    made = sum(map(failed_to_find, sessions())) / len(sessions())
    assert shares["TaskNotFound"] == share(sum(map(failed_to_find, failed)), len(failed))
    assert made == pytest.approx(TRUTHS.task_not_found, abs=0.012)


def test_exceptions_and_who_met_them_are_counted_by_hand(read: Read, said: Said) -> None:
    met: dict[str, list[Session]] = defaultdict(list)
    for session in filter(is_person, sessions()):
        for event in session["events"]:
            if event["type"] == "ExceptionRaised":
                met[event["attributes"]["exceptionType"]].append(session)
    people = {name: len({one["userId"] for one in those}) for name, those in met.items()}
    shown = {name: (rounded(number), rounded(len(met[name]))) for name, number in people.items() if number >= 10}
    found = {row["exception_type"]: (int(row["people"]), int(row["count"])) for row in read("failures", "exceptions")}
    found.pop("Other", None)
    assert len(shown) > 1 and found == shown
    most = max(shown, key=lambda name: shown[name])
    assert told(said("failures"), most, f"{shown[most][0]} people")
    # Beside the reasons, with the people of the last four weeks.
    recent = {one["sessionId"] for one in last_days(28)}
    rows = {row["error"]: row for row in read("failures", "who-meets-an-error")}
    assert {"TaskNotFound", most} <= rows.keys()
    assert int(rows[most]["people"]) == rounded(len({one["userId"] for one in met[most] if one["sessionId"] in recent}))


def test_how_people_installed_it_is_found_again(read: Read, said: Said) -> None:
    counted = people_by(lambda session: session["attributes"]["installedFrom"])
    found = {row["install_channel"]: int(row["people"]) for row in read("environments", "channels")}
    assert found == {name: rounded(number) for name, number in counted.items()}
    first, _ = counted.most_common(1)[0]
    assert told(said("environments"), first, f"{found[first] / sum(found.values()) * 100:.0f} %")
    listed = {
        row["what"] for row in read("support", "what-people-use-the-rarest-first") if row["part"] == "install channel"
    }
    assert listed == found.keys()


def test_a_bad_release_is_found_and_named(read: Read, said: Said) -> None:
    rows = {row["application_version"]: float(row["share(failed)"]) for row in read("failures", "by-version")}
    assert max(rows, key=lambda version: rows[version]) == TRUTHS.bad_release
    bad = f"{rows[TRUTHS.bad_release] * 100:.1f} %"
    assert [one for one in rows if told(said("failures"), one, "fails", bad)] == [TRUTHS.bad_release]


def test_an_odd_error_is_traced_to_one_engine_privately_and_not_told_publicly(bucket: Path, read: Read) -> None:
    known = registry.load(ROOT / "ingest" / "applications")
    with site_of(bucket, known, now=END, private=True) as private:
        rows = table(made(private, "failures"), "failures", "reasons-that-occur-more-often-in-one-environment")
    assert (rows[0]["reason"], rows[0]["where"]) == (TRUTHS.odd_failure, TRUTHS.odd_engine)
    mine = list(filter(is_person, sessions()))
    odd = [s for s in mine if s["attributes"]["failureReason"] == TRUTHS.odd_failure]
    assert (int(rows[0]["runs"]), int(rows[0]["people"])) == (len(odd), len({s["userId"] for s in odd}))
    with_it = sum(s["attributes"]["containerEngineVersion"] == TRUTHS.odd_engine for s in mine)
    assert float(rows[0]["times_as_often"]) == pytest.approx(len(mine) / with_it)
    for row in read("failures", "reasons-that-occur-more-often-in-one-environment"):
        assert TRUTHS.odd_failure not in row.values()
        assert TRUTHS.odd_engine not in row.values()


def test_that_completion_helps_is_found_again(read: Read, said: Said) -> None:
    rows = {row["reason"]: row for row in read("did-it-help", "with-tab-completion-compared-with-without")}
    change = rows["TaskNotFound"]["change"].lstrip("'")
    assert -float(change.removesuffix(" %")) / 100 == pytest.approx(TRUTHS.completion_effect, abs=0.15)
    assert [reason for reason, row in rows.items() if row["verdict"] == "less often"] == ["TaskNotFound"]
    assert told(said("did-it-help"), "tab completion", "TaskNotFound", f"{change[1:]} less")


def test_the_effect_of_completion_is_that_of_the_runs_counted_by_hand(read: Read) -> None:
    people = [session for session in sessions() if is_person(session)]
    shares = {}
    for uses in (True, False):
        group = [failed_to_find(s) for s in people if s["attributes"]["usesTabCompletion"] is uses]
        shares["yes" if uses else "no"] = share(sum(group), len(group))
    found = {
        row["tab_completion_used"]: float(row["share(failed)"])
        for row in read("did-it-help", "completion")
        if row["reason"] == "TaskNotFound"
    }
    assert found == pytest.approx(shares)


def test_that_one_builder_is_faster_is_found_again(read: Read, said: Said) -> None:
    rows = {row["step"]: row for row in read("did-it-help", "the-faster-variant-compared-with-the-slower")}
    built = rows["BuildImage"]
    assert (built["faster"], built["slower"], built["verdict"]) == ("buildkit", "legacy", "faster")
    assert float(built["times_as_long"]) == pytest.approx(TRUTHS.builder_ratio, abs=0.08)
    low, high = map(float, built["95 % interval"].split(" to "))
    assert low <= float(built["times_as_long"]) <= high
    assert told(said("did-it-help"), "BuildImage", "takes")
    # What the builder has nothing to do with does not differ.
    assert float(rows["CleanUp"]["times_as_long"]) > 0.95


def test_that_a_release_loads_faster_is_found_again(read: Read) -> None:
    rows = read("did-it-help", "steps-that-a-release-changed-most")
    quick = next(row for row in rows if row["step"] == "LoadConfiguration" and row["version"] == TRUTHS.quick_release)
    assert quick["verdict"] == "faster"
    assert float(quick["times_as_long"]) == pytest.approx(TRUTHS.loading_ratio, abs=0.12)


def forty(released: datetime, number: int, order: list[str]) -> float:
    """Days until 40 % of runs are of a release or a newer one; NaN where it was not reached in twelve weeks."""
    before, low = 0.0, 0.0
    for week in range(12):
        first = released + timedelta(weeks=week)
        runs = [s for s in sessions() if first <= start(s) < first + timedelta(weeks=1)]
        if runs:
            day, share = week * 7 + 3.5, sum(order.index(s["applicationVersion"]) >= number for s in runs) / len(runs)
            if low < 0.4 <= share:
                return before + (0.4 - low) / (share - low) * (day - before)
            before, low = day, share
    return float("nan")


def test_releases_reach_forty_percent_within_a_month_since_they_install_themselves(read: Read, said: Said) -> None:
    released = dict(cairn_sessions.releases(END, TRUTHS))
    order = list(released)
    rows = {row["version"]: row for row in read("versions", "days-from-a-release-until-it-had-reached")}
    automated = END - timedelta(weeks=TRUTHS.weeks - TRUTHS.automated_week)
    old_enough = [version for version in rows if released[version] <= END - timedelta(days=28)]
    by_themselves = [version for version in old_enough if released[version] >= automated]
    # By hand, from the share of each week's runs that were on it or on what is newer, drawn from middle to middle.
    expected = {version: forty(released[version], order.index(version), order) for version in old_enough}
    assert {version: float(rows[version]["40 % of runs"] or "nan") for version in old_enough} == {
        version: pytest.approx(days, abs=1.5, nan_ok=True) for version, days in expected.items()
    }
    quick = [version for version in old_enough if expected[version] <= 31]
    assert 2 <= len(by_themselves) < len(old_enough)
    assert set(by_themselves) <= set(quick) < set(old_enough)
    # Of those before them only the last can be as quick: what is newer counts for it.
    assert set(quick) - set(by_themselves) <= {order[order.index(by_themselves[0]) - 1]}
    assert [version for version in order if told(said("versions"), version, "40 %")] == [quick[0]]


def test_how_long_people_wait_is_counted_with_those_who_still_do(read: Read) -> None:
    """The estimate of Kaplan and Meier, week by week: of those who wait and still run the tool, how many upgrade."""
    released = dict(cairn_sessions.releases(END, TRUTHS))
    order = list(released)
    first = min(map(start, sessions())).replace(hour=0, minute=0, second=0)
    by_person: dict[str, list[Session]] = defaultdict(list)
    for session in filter(is_person, sessions()):
        by_person[session["userId"]].append(session)
    waiting, upgraded = Counter[int](), Counter[int]()
    for runs in by_person.values():
        for version in order[-12:]:
            time = released[version]
            if not start(runs[0]) < time <= start(runs[-1]):
                continue
            later = [
                s for s in runs if start(s) >= time and order.index(s["applicationVersion"]) >= order.index(version)
            ]
            last = (start(later[0] if later else runs[-1]) - time) // timedelta(weeks=1)
            waiting.update(range(last + 1))
            upgraded[last] += bool(later)
    assert first < min(released[version] for version in order[3:])
    weekly = {int(row["week"]): row["share(upgraded)"] for row in read("versions", "weekly") if row["week"].isdigit()}
    shown = {week: float(part) for week, part in weekly.items() if part and "%" not in part}
    assert len(shown) > 10
    assert shown == {week: share(upgraded[week], waiting[week]) for week in shown}
    left, curve = 1.0, {}
    for week in sorted(weekly):
        left *= 1 - shown.get(week, 0.0)
        curve[week + 1] = left * 100
    found = {
        int(row["weeks_since_release"]): float(row["per_cent_of_people"])
        for row in read("versions", "people-who-have-not-upgraded-yet-by-weeks-since-a-release")
    }
    assert found == {week: pytest.approx(curve[week], abs=1.5) for week in found}
    assert sorted(found.values(), reverse=True) == [found[week] for week in sorted(found)]


def users_of_features() -> dict[str, set[str]]:
    """Who has used each feature that people choose."""
    used: dict[str, set[str]] = defaultdict(set)
    for session in filter(is_person, sessions()):
        for name in ("usesCacheVolumes", "usesIncludes", "usesTabCompletion"):
            if session["attributes"][name]:
                used[name].add(session["userId"])
    return used


def test_what_people_have_found_is_a_share_of_people(read: Read) -> None:
    used = users_of_features()
    everyone = len({session["userId"] for session in filter(is_person, sessions())})
    found = {row["also"]: float(row["share(used_too)"]) for row in read("commands", "discovered")}
    assert found == {name: share(len(people), everyone) for name, people in used.items()}


def test_the_share_of_ci_and_its_systems_are_found_again(read: Read, said: Said) -> None:
    in_ci = Counter(s["attributes"]["ciSystem"] for s in sessions() if not is_person(s))
    assert told(said("environments"), f"{in_ci.total() / len(sessions()) * 100:.0f} %", "CI")
    assert in_ci.total() / len(sessions()) == pytest.approx(TRUTHS.ci_share, abs=0.001)
    found = {row["ci_system"]: int(row["count"]) for row in read("environments", "ci-systems")}
    rest = sum(number for number in in_ci.values() if number < 100)
    shown = {system: rounded(number) for system, number in in_ci.items() if number >= 100}
    assert found == shown | ({"Other": rounded(rest)} if rest >= 100 else {})


def test_commands_have_the_shares_that_were_made(read: Read) -> None:
    found = {row["command"]: float(row["share"]) for row in read("commands", "by-command")}
    people = Counter(s["attributes"]["commandName"] for s in sessions() if is_person(s))
    assert all(part == share(people[name], people.total()) for name, part in found.items() if name != "Other")
    # Those who mistype a name, or upgrade, would have run something else.
    assert found["list-tasks"] == pytest.approx(COMMANDS["list-tasks"], abs=0.02)


def test_what_people_choose_together_is_counted_by_person(read: Read) -> None:
    used = users_of_features()
    rows = read("commands", "people-who-use-a-feature-and-also-use-another")
    assert len(rows) == 6
    for row in rows:
        both = used[row["feature"]] & used[row["also"]]
        assert float(row["share(used_too)"]) == share(len(both), len(used[row["feature"]]))


def test_help_is_counted_once_a_run(read: Read) -> None:
    asked = {s["userId"] for s in sessions() if is_person(s) and s["attributes"]["commandName"] == "help"}
    (row,) = read("commands", "help-answer")
    assert float(row["share(asked)"]) == share(len(asked), people_by(lambda session: None)[None])


def test_durations_are_those_of_the_spans(read: Read) -> None:
    took = defaultdict(list)
    for session in filter(is_person, sessions()):
        for span in session["spans"]:
            seconds = datetime.fromisoformat(span["endTime"]) - datetime.fromisoformat(span["startTime"])
            took[span["type"]].append(seconds / timedelta(milliseconds=1))
    for row in read("speed", "each-step"):
        assert int(row["count"]) == rounded(len(took[row["step"]]))
        assert float(row["p50(duration_ms)"]) == float(f"{median(took[row['step']]):.3g}")


def test_projects_count_each_person_once_with_the_last(read: Read) -> None:
    sizes: dict[str, int] = {}
    for session in filter(is_person, sessions()):
        if session["attributes"]["taskCount"] is not None:
            sizes[session["userId"]] = session["attributes"]["taskCount"]
    (row,) = read("projects", "middle")
    assert float(row["p50(project_size)"]) == median(sizes.values())
    shown = read("projects", "people-by-size-of-their-project")
    assert sum(int(one["people"]) for one in shown) == pytest.approx(len(sizes), rel=0.03)


def test_who_comes_back_is_counted_by_hand(read: Read) -> None:
    months: dict[str, set[str]] = defaultdict(set)
    for session in filter(is_person, sessions()):
        months[session["userId"]].add(session["sessionStartTime"][:7])
    rows = [row for row in read("loyalty", "came-back") if row["months since"] == "1" and row["people"]]
    assert rows
    for row in rows:
        first = row["first used"][:7]
        year, month = int(first[:4]), int(first[5:])
        then = f"{year + month // 12}-{month % 12 + 1:02}"
        cohort = [seen for seen in months.values() if min(seen) == first]
        back = sum(then in seen for seen in cohort)
        assert (int(row["of people"]), int(row["people"])) == (rounded(len(cohort)), rounded(back))


# Edges, counted by hand. Each bucket is small.

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
Run = dict[str, Any]


def run(user: int, at: datetime, version: str = "1.0.0", **attributes: Any) -> Run:
    facts = {"osName": "Linux", "exitCode": 0, "runningInCi": False, "commandName": "run", **attributes}
    return {
        "user": user, "start": at, "applicationId": "cairn", "applicationVersion": version, "attributes": facts,
    }  # fmt: skip


Edge = Callable[..., Callable[[str, str], list[dict[str, str]]]]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """Pages over these runs, with these releases, on this day. No page has a fault there. Gives rows as `read` does."""
    sites: list[Site] = []

    def over(runs: list[Run], *, now: datetime, releases: dict[str, datetime] | None = None) -> Read:
        known = registry.load(ROOT / "ingest" / "applications")
        fill(tmp_path, runs, known)
        dates = [{"version": one, "released": time.isoformat()} for one, time in (releases or {}).items()]
        keep(open_bucket(str(tmp_path)), "cairn", dates)
        site = Site(fetch(open_bucket(str(tmp_path)), str(tmp_path), known), now=now)
        sites.append(site)
        site.run(sources())
        assert site.faults == []
        return lambda name, block: table(made(site, name), name, block)

    yield over
    for site in sites:
        site.connection.close()


def test_a_person_on_two_versions_counts_for_both_and_once(edge: Edge) -> None:
    both = [run(user, MONDAY + timedelta(hours=user), version) for user in range(12) for version in ("1.0.0", "1.1.0")]
    only = [run(user, MONDAY + timedelta(hours=user), "1.0.0") for user in range(12, 24)]
    rows = edge(both + only, now=MONDAY + timedelta(days=9))
    assert {row["application_version"]: row["people"] for row in rows("versions", "recent")} == {
        "1.0.0": "25", "1.1.0": "10",
    }  # fmt: skip
    assert rows("overview", "people-by-week")[-1]["people"] == "25"


def test_a_week_without_data_is_no_week_of_nobody(edge: Edge) -> None:
    weeks = (0, 1, 3)  # the third has nothing
    runs = [run(user, MONDAY + timedelta(weeks=week, hours=user)) for week in weeks for user in range(15)]
    rows = edge(runs, now=MONDAY + timedelta(weeks=4, days=1))
    assert [row["start_time"][:10] for row in rows("overview", "people-by-week")] == [
        "2026-03-02", "2026-03-09", "2026-03-23",
    ]  # fmt: skip
    # The last week is compared with the one before it, not with the one before that.
    with pytest.raises(KeyError):
        rows("overview", "the-last-whole-week-and-the-one-before-it")


def test_where_nothing_stands_out_the_pages_say_so(edge: Edge) -> None:
    even = [
        run(user, MONDAY + timedelta(hours=hour), osName=("Linux", "macOS")[user % 2], exitCode=int(hour == user % 10))
        for user in range(60)
        for hour in range(10)
    ]
    rows = edge(even, now=MONDAY + timedelta(days=9))
    assert rows("failures", "findings") == rows("overview", "findings") == []


def test_what_was_used_once_by_more_has_stayed_below_since_then(edge: Edge) -> None:
    """Of a thousand people a month, so many run the old version; of four in the last month nothing is shown."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    months = [begin + timedelta(days=31 * number) for number in range(5)]
    old = (500, 150, 15, 15, 4)
    runs = [
        run(user, month + timedelta(days=1, minutes=user), "1.0.0" if user < many else "1.1.0")
        for month, many in zip(months, old, strict=True)
        for user in range(1000)
    ]
    rows = edge(runs, now=months[-1] + timedelta(days=21))
    found = {row["what"]: row for row in rows("support", "what-people-use-the-rarest-first")}
    assert [found["1.0.0"][f"below {limit} % since"] for limit in (5, 2, 1)] == ["Mar 2026", "Mar 2026", NOTHING]
    assert found["1.0.0"]["now"] == "under 1.0 %"
    assert [found["1.1.0"][f"below {limit} % since"] for limit in (5, 2, 1)] == [NOTHING] * 3


def test_one_session_is_shown_nowhere(edge: Edge) -> None:
    rows = edge([run(1, MONDAY)], now=MONDAY + timedelta(days=9))
    with pytest.raises(KeyError):
        rows("overview", "people-by-week")
    with pytest.raises(KeyError):
        rows("failures", "overall")


def test_a_week_that_is_not_over_is_compared_with_nothing(edge: Edge) -> None:
    whole = [run(user, MONDAY + timedelta(weeks=week, hours=user)) for week in (0, 1) for user in range(20)]
    begun = [run(user, MONDAY + timedelta(weeks=2, hours=1)) for user in range(20, 32)]
    rows = edge(whole + begun, now=MONDAY + timedelta(weeks=2, days=1))
    (people, *_) = rows("overview", "the-last-whole-week-and-the-one-before-it")
    assert (people["last_week"], people["week_before"]) == ("20", "20")


def test_fifty_users_have_pages_that_say_something(edge: Edge) -> None:
    few = list(cairn_sessions.sessions(900, users=50, seed=5, end=END, truths=cairn_sessions.Truths(weeks=8)))
    rows = edge(few, now=END)
    everyone = {s["userId"] for s in few if is_person(s)}
    systems = Counter({s["userId"]: s["attributes"]["osName"] for s in few if is_person(s)}.values())
    found = {row["os"]: int(row["people"]) for row in rows("environments", "systems")}
    assert len(everyone) == 50
    assert {"Linux", "macOS"} <= found.keys()
    assert found == {system: rounded(systems[system]) for system in found}
    assert rows("failures", "overall")[0]["share(failed)"]
    assert int(rows("overview", "recent-people")[0]["people"]) >= 10
    assert rows("loyalty", "usual")[0]["people"]
    assert rows("speed", "whole")[0]["p50(duration_ms)"]


def test_days_to_a_share_are_counted_from_the_release(edge: Edge) -> None:
    """Nobody runs it in the first week, half do in the second, all in the third: 40 % is reached in between."""
    before = [run(user, MONDAY - timedelta(days=2, hours=user), "1.0.0") for user in range(30)]
    runs = before + [
        run(user, MONDAY + timedelta(weeks=week, days=3, minutes=user), "1.1.0" if user < 15 * week else "1.0.0")
        for week in range(3)
        for user in range(30)
    ]
    dates = {"1.0.0": MONDAY - timedelta(days=60), "1.1.0": MONDAY}
    rows = edge(runs, now=MONDAY + timedelta(weeks=3, days=1), releases=dates)
    (release,) = rows("versions", "days-from-a-release-until-it-had-reached")
    assert release["version"] == "1.1.0"
    # From 0 % in the middle of the first week (day 3.5) to 50 % in that of the second (10.5), and on to 100 % (17.5).
    assert [release[f"{goal} % of runs"] for goal in (10, 40, 80)] == ["5.0", "9.0", "15.0"]
