"""The pages of this project, over generated sessions: what they say is what the generator made true."""

import csv
import html
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from ingest import registry
from ingest.bucket import open_bucket
from reports import check, sample, warehouse
from reports.page import front_matter
from reports.plugin import build
from reports.releases import keep
from reports.site import Page, Site
from reports.truths import COMMANDS
from tests.sites import fill

ROOT = Path(__file__).parent.parent
# Without those that are templates of other pages.
PAGES = sorted(path for path in ROOT.glob("site/**/*.md") if "for" not in front_matter(path.read_text())[0])
# The last Wednesday at noon: the same sessions each time, but for the names of the months.
NOW = datetime.now(UTC)
END = (NOW - timedelta(days=(NOW.weekday() - 2) % 7 or 7)).replace(hour=12, minute=0, second=0, microsecond=0)
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
    dates = [{"version": version, "released": f"{time:%Y-%m-%dT%H:%M:%SZ}"} for version, time in sample.releases(END)]
    keep(open_bucket(str(path)), sample.APPLICATION, dates)
    return path


@pytest.fixture(scope="module")
def site(bucket: Path) -> Iterator[Site]:
    known = registry.load(ROOT / "ingest" / "applications")
    made = Site(warehouse.fetch(open_bucket(str(bucket)), str(bucket), known), now=END)
    yield made
    made.connection.close()


Read = Callable[[str, str], list[dict[str, str]]]
Said = Callable[[str], str]


def made(site: Site, name: str) -> Page:
    """A page of ours, without a fault."""
    source = (ROOT / "site" / f"{name}.md").read_text()
    page = site.page(front_matter(source)[1], file=f"site/{name}.md", source=source, name=name, root="./")
    assert site.faults == []
    return page


def table(page: Page, name: str, block: str) -> list[dict[str, str]]:
    """Rows of the CSV that a page offers for one of its blocks."""
    return list(csv.DictReader(io.StringIO(page.files[f"data/{name}/{block}.csv"].decode())))


@pytest.fixture(scope="module")
def pages(site: Site) -> dict[str, Page]:
    """Every page, made once."""
    return {path.stem: made(site, path.stem) for path in PAGES}


@pytest.fixture(scope="module")
def read(pages: dict[str, Page]) -> Read:
    """Rows of what a page shows in one of its blocks."""
    return lambda name, block: table(pages[name], name, block)


@pytest.fixture(scope="module")
def said(pages: dict[str, Page]) -> Said:
    """The words of a page as its readers see them, on one line."""
    return lambda name: " ".join(html.unescape(pages[name].markdown).split())


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


def failed_to_find(session: Session) -> bool:
    return bool(session["attributes"]["failureReason"] == "TaskNotFound")


@pytest.mark.slow
def test_every_page_builds_strictly(bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    out = build(str(bucket), tmp_path / "out")
    assert {path.stem for path in PAGES} <= {path.stem for path in out.rglob("*.html")}
    made = b"".join(path.read_bytes() for path in out.rglob("*") if path.suffix in (".html", ".csv", ".json"))
    assert b"Made-up data" in made
    newest, _ = sample.releases(END)[-1]
    own = " ".join(html.unescape((out / f"version-{newest}.html").read_text()).split())
    assert f"Version {newest}" in own
    assert re.search(r"<p>\d+ people ran it in the last four weeks", own)
    assert f'href="version-{newest}.html"' in (out / "version.html").read_text()
    # Six people have this engine.
    assert TRUTHS.odd_engine.encode() not in made
    assert not [path for path in out.rglob("*.parquet") if TRUTHS.odd_engine.encode() in path.read_bytes()]


@pytest.mark.slow
def test_nothing_of_our_pages_is_to_be_mended_or_weighed(bucket: Path) -> None:
    known = registry.load(ROOT / "ingest" / "applications")
    site = Site(warehouse.fetch(open_bucket(str(bucket)), str(bucket), known), now=END)
    with site.connection:
        found = check.check(site, check.project(ROOT), ROOT)
    assert found.faults + found.warnings == []


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
    assert sum(int(row["people"]) for row in read("environments", "systems")) == people_by(lambda session: None)[None]
    assert read("environments", "all-runs") == [{"count": "9000"}]


def test_the_ranking_of_shells_is_found_again(read: Read) -> None:
    found = {row["shell"]: int(row["people"]) for row in read("environments", "shells")}
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
    rows = read("versions", "share-of-runs-by-version-in-half-a-year")
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
    rows = {row["application_version"]: int(row["count"]) for row in read("versions", "recent")}
    rows.pop("Other", None)
    assert rows
    assert all(counted[version] == number for version, number in rows.items())


def test_the_overview_says_the_last_four_weeks(said: Said) -> None:
    last = max(map(start, sessions()))
    recent = [s for s in sessions() if start(s) >= last - timedelta(weeks=4)]
    before = [s for s in sessions() if last - timedelta(weeks=8) <= start(s) < last - timedelta(weeks=4)]
    people = len({s["userId"] for s in recent if is_person(s)})
    change = (len(recent) / len(before) - 1) * 100
    assert change > 2
    assert f"{people} people ran the tool {len(recent):,} times, {change:.0f} % more than in the four" in said("index")
    failed = sum(s["attributes"]["exitCode"] != 0 for s in recent) / len(recent)
    assert f"{failed * 100:.1f} % of the runs failed." in said("index")


def test_the_overview_compares_the_last_whole_week_with_the_one_before(read: Read) -> None:
    monday = (END - timedelta(days=END.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    last = [s for s in sessions() if monday - timedelta(days=7) <= start(s) < monday]
    before = [s for s in sessions() if monday - timedelta(days=14) <= start(s) < monday - timedelta(days=7)]
    people = [len({s["userId"] for s in week if is_person(s)}) for week in (last, before)]
    rows = {row["what"]: row for row in read("index", "the-last-whole-week-and-the-one-before-it")}
    assert (rows["People"]["last_week"], rows["People"]["week_before"]) == (str(people[0]), str(people[1]))
    assert (rows["Runs"]["last_week"], rows["Runs"]["week_before"]) == (str(len(last)), str(len(before)))


def test_the_share_that_fails_with_task_not_found_is_found_again(read: Read) -> None:
    failed = [session for session in sessions() if session["attributes"]["failureReason"]]
    shares = {row["failure_reason"]: float(row["share"]) for row in read("failures", "by-reason")}
    made = sum(map(failed_to_find, sessions())) / len(sessions())
    assert shares["TaskNotFound"] * len(failed) / len(sessions()) == pytest.approx(made)
    assert made == pytest.approx(TRUTHS.task_not_found, abs=0.012)


def test_a_bad_release_is_found_and_named(read: Read, said: Said) -> None:
    rows = {row["application_version"]: float(row["share(failed)"]) for row in read("failures", "by-version")}
    assert max(rows, key=lambda version: rows[version]) == TRUTHS.bad_release
    assert f"{TRUTHS.bad_release} fails more often than all together by more than chance" in said("failures")


def test_an_odd_error_is_traced_to_one_engine_privately_and_not_told_publicly(bucket: Path, read: Read) -> None:
    known = registry.load(ROOT / "ingest" / "applications")
    private = Site(warehouse.fetch(open_bucket(str(bucket)), str(bucket), known), now=END, private=True)
    rows = table(made(private, "failures"), "failures", "where-a-reason-occurs-most-above-what-it-does-elsewhere")
    private.connection.close()
    assert (rows[0]["reason"], rows[0]["where"]) == (TRUTHS.odd_failure, TRUTHS.odd_engine)
    odd = [s for s in sessions() if s["attributes"]["failureReason"] == TRUTHS.odd_failure]
    assert (int(rows[0]["runs"]), int(rows[0]["people"])) == (len(odd), len({s["userId"] for s in odd}))
    with_it = sum(s["attributes"]["containerEngineVersion"] == TRUTHS.odd_engine for s in sessions())
    assert float(rows[0]["times_as_often"]) == pytest.approx(len(sessions()) / with_it)
    for row in read("failures", "where-a-reason-occurs-most-above-what-it-does-elsewhere"):
        assert TRUTHS.odd_failure not in row.values()
        assert TRUTHS.odd_engine not in row.values()


def test_that_completion_helps_is_found_again(read: Read, said: Said) -> None:
    rows = {row["reason"]: row for row in read("did-it-help", "with-tab-completion-compared-with-without")}
    change = rows["TaskNotFound"]["change"].lstrip("'")
    assert -float(change.removesuffix(" %")) / 100 == pytest.approx(TRUTHS.completion_effect, abs=0.15)
    assert [reason for reason, row in rows.items() if row["verdict"] == "less often"] == ["TaskNotFound"]
    assert f"With tab completion, TaskNotFound happens {change[1:]} less often" in said("did-it-help")


def test_the_effect_of_completion_is_that_of_the_runs_counted_by_hand(read: Read) -> None:
    people = [session for session in sessions() if is_person(session)]
    shares = {}
    for uses in (True, False):
        group = [failed_to_find(s) for s in people if s["attributes"]["usesTabCompletion"] is uses]
        shares["yes" if uses else "no"] = sum(group) / len(group)
    found = {
        row["tab_completion_used"]: float(row["share(failed)"])
        for row in read("did-it-help", "completion")
        if row["reason"] == "TaskNotFound"
    }
    assert found == pytest.approx(shares)


def test_that_one_builder_is_faster_is_found_again(read: Read, said: Said) -> None:
    rows = {row["step"]: row for row in read("did-it-help", "the-faster-way-in-durations-of-the-slower")}
    built = rows["BuildImage"]
    assert (built["faster"], built["slower"], built["verdict"]) == ("buildkit", "legacy", "faster")
    assert float(built["times_as_long"]) == pytest.approx(TRUTHS.builder_ratio, abs=0.08)
    low, high = map(float, built["95 % interval"].split(" to "))
    assert low <= float(built["times_as_long"]) <= high
    assert "BuildImage takes" in said("did-it-help")
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
    released = dict(sample.releases(END, TRUTHS))
    order = list(released)
    rows = {row["version"]: row for row in read("versions", "days-from-a-release-until-it-had-reached")}
    automated = END - timedelta(weeks=TRUTHS.weeks - TRUTHS.automated_week)
    old_enough = [version for version in rows if released[version] <= END - timedelta(days=28)]
    by_themselves = [version for version in old_enough if released[version] >= automated]
    # By hand, from the share of each week's runs that were on it or on what is newer, drawn from middle to middle.
    expected = {version: forty(released[version], order.index(version), order) for version in old_enough}
    assert {version: float(rows[version]["40 % of runs"] or "nan") for version in old_enough} == {
        version: pytest.approx(days, abs=0.5, nan_ok=True) for version, days in expected.items()
    }
    quick = [version for version in old_enough if expected[version] <= 31]
    assert 2 <= len(by_themselves) < len(old_enough)
    assert set(by_themselves) <= set(quick) < set(old_enough)
    # Of those before them only the last can be as quick: what is newer counts for it.
    assert set(quick) - set(by_themselves) <= {order[order.index(by_themselves[0]) - 1]}
    assert f"Since {quick[0]}, every release has reached over 40 % of all runs within a month" in said("versions")


def test_days_until_a_first_run_are_those_counted_by_hand(read: Read) -> None:
    released = dict(sample.releases(END, TRUTHS))
    order = list(released)
    by_person: dict[str, list[Session]] = defaultdict(list)
    for session in sessions():
        if is_person(session):
            by_person[session["userId"]].append(session)
    days = []
    for runs in by_person.values():
        for version, time in released.items():
            later = [
                s for s in runs if start(s) >= time and order.index(s["applicationVersion"]) >= order.index(version)
            ]
            if start(runs[0]) < time and later:
                days.append((start(later[0]) - time) / timedelta(days=1))
    rows = read("versions", "days-until-a-person-s-first-run-of-a-release")
    assert min(days) < 2 < 60 < max(days)  # from hours to months
    edges = [float(row["from"]) for row in rows if row["from"]]
    assert edges[0] < sorted(days)[len(days) // 2] < edges[-1]
    # People are counted once a bin: never more than updates, and most of them.
    shown = sum(int(row["people"]) for row in rows)
    assert 0.9 * len(days) <= shown <= len(days)


def test_the_share_of_ci_and_its_systems_are_found_again(read: Read, said: Said) -> None:
    in_ci = Counter(s["attributes"]["ciSystem"] for s in sessions() if not is_person(s))
    assert f"{in_ci.total() / len(sessions()) * 100:.0f} % of all runs are in CI" in said("environments")
    assert in_ci.total() / len(sessions()) == pytest.approx(TRUTHS.ci_share, abs=0.001)
    found = {row["ci_system"]: float(row["runs"]) for row in read("environments", "runs-by-ci-system")}
    assert found == {system: number for system, number in in_ci.items() if number >= 100}


def test_commands_have_the_shares_that_were_made(read: Read) -> None:
    found = {row["command"]: float(row["share"]) for row in read("commands", "by-command")}
    people = Counter(s["attributes"]["commandName"] for s in sessions() if is_person(s))
    assert all(
        share == pytest.approx(people[name] / people.total()) for name, share in found.items() if name != "Other"
    )
    # Those who mistype a name, or upgrade, would have run something else.
    assert found["list-tasks"] == pytest.approx(COMMANDS["list-tasks"], abs=0.02)


def test_what_people_choose_together_is_counted_by_person(read: Read) -> None:
    used: dict[str, set[str]] = defaultdict(set)
    for session in filter(is_person, sessions()):
        for name in ("usesCacheVolumes", "usesIncludes", "usesTabCompletion"):
            if session["attributes"][name]:
                used[name].add(session["userId"])
    rows = read("commands", "people-who-use-a-feature-and-also-use-another")
    assert len(rows) == 6
    for row in rows:
        both = used[row["feature"]] & used[row["also"]]
        assert float(row["share(used_too)"]) == pytest.approx(len(both) / len(used[row["feature"]]))


def test_help_is_counted_once_a_run(read: Read) -> None:
    asked = {s["userId"] for s in sessions() if is_person(s) and s["attributes"]["commandName"] == "help"}
    (row,) = read("commands", "help-answer")
    assert float(row["share(asked)"]) == pytest.approx(len(asked) / people_by(lambda session: None)[None])


def test_durations_are_those_of_the_spans(read: Read) -> None:
    took = defaultdict(list)
    for session in filter(is_person, sessions()):
        for span in session["spans"]:
            seconds = datetime.fromisoformat(span["endTime"]) - datetime.fromisoformat(span["startTime"])
            took[span["type"]].append(seconds / timedelta(milliseconds=1))
    for row in read("speed", "each-step"):
        assert int(row["count"]) == len(took[row["step"]])
        assert float(row["p50(duration_ms)"]) == pytest.approx(median(took[row["step"]]))


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
        assert (int(row["of people"]), int(row["people"])) == (len(cohort), sum(then in seen for seen in cohort))


# Edges, counted by hand. Each bucket is small.

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
Run = dict[str, Any]


def run(user: int, at: datetime, version: str = "1.0.0", **attributes: Any) -> Run:
    facts = {"osName": "Linux", "exitCode": 0, "runningInCi": False, "commandName": "run", **attributes}
    return {
        "user": user, "start": at, "applicationId": "cairn", "applicationVersion": version, "attributes": facts,
    }  # fmt: skip


Edge = Callable[..., Callable[[str, str], list[dict[str, str]]]]


@pytest.fixture(params=["the pages read", pytest.param("all pages", marks=pytest.mark.slow)])
def edge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Edge]:
    """Pages over these runs, with these releases, on this day; gives rows as `read` does.

    None of all pages may have a fault there, but to make them takes seconds for each edge.
    """
    sites: list[Site] = []

    def over(runs: list[Run], *, now: datetime, releases: dict[str, datetime] | None = None) -> Read:
        known = registry.load(ROOT / "ingest" / "applications")
        fill(tmp_path, runs, known)
        dates = [{"version": one, "released": time.isoformat()} for one, time in (releases or {}).items()]
        keep(open_bucket(str(tmp_path)), "cairn", dates)
        site = Site(warehouse.fetch(open_bucket(str(tmp_path)), str(tmp_path), known), now=now)
        sites.append(site)
        if request.param == "all pages":
            for path in PAGES:
                made(site, path.stem)
        return lambda name, block: table(made(site, name), name, block)

    yield over
    for site in sites:
        site.connection.close()


def test_a_person_on_two_versions_counts_for_both_and_once(edge: Edge) -> None:
    both = [run(user, MONDAY + timedelta(hours=user), version) for user in range(12) for version in ("1.0.0", "1.1.0")]
    only = [run(user, MONDAY + timedelta(hours=user), "1.0.0") for user in range(12, 24)]
    rows = edge(both + only, now=MONDAY + timedelta(days=9))
    assert {row["application_version"]: row["people"] for row in rows("versions", "recent")} == {
        "1.0.0": "24", "1.1.0": "12",
    }  # fmt: skip
    assert rows("index", "people-by-week")[-1]["people"] == "24"


def test_a_week_without_data_is_no_week_of_nobody(edge: Edge) -> None:
    weeks = (0, 1, 3)  # the third has nothing
    runs = [run(user, MONDAY + timedelta(weeks=week, hours=user)) for week in weeks for user in range(15)]
    rows = edge(runs, now=MONDAY + timedelta(weeks=4, days=1))
    assert [row["start_time"][:10] for row in rows("index", "people-by-week")] == [
        "2026-03-02", "2026-03-09", "2026-03-23",
    ]  # fmt: skip
    # The last week is compared with the one before it, not with the one before that.
    with pytest.raises(KeyError):
        rows("index", "the-last-whole-week-and-the-one-before-it")


def test_one_session_is_shown_nowhere(edge: Edge) -> None:
    rows = edge([run(1, MONDAY)], now=MONDAY + timedelta(days=9))
    with pytest.raises(KeyError):
        rows("index", "people-by-week")
    with pytest.raises(KeyError):
        rows("failures", "overall")


def test_a_week_that_is_not_over_is_compared_with_nothing(edge: Edge) -> None:
    whole = [run(user, MONDAY + timedelta(weeks=week, hours=user)) for week in (0, 1) for user in range(20)]
    begun = [run(user, MONDAY + timedelta(weeks=2, hours=1)) for user in range(20, 32)]
    rows = edge(whole + begun, now=MONDAY + timedelta(weeks=2, days=1))
    (people, *_) = rows("index", "the-last-whole-week-and-the-one-before-it")
    assert (people["last_week"], people["week_before"]) == ("20", "20")


def test_fifty_users_have_pages_that_say_something(edge: Edge) -> None:
    few = list(sample.sessions(900, users=50, seed=5, end=END, truths=sample.Truths(weeks=8)))
    rows = edge(few, now=END)
    everyone = {s["userId"] for s in few if is_person(s)}
    systems = Counter({s["userId"]: s["attributes"]["osName"] for s in few if is_person(s)}.values())
    found = {row["os"]: int(row["people"]) for row in rows("environments", "systems")}
    assert sum(found.values()) == len(everyone) == 50
    assert all(found[system] == number for system, number in systems.items() if system in found)
    assert rows("failures", "overall")[0]["share(failed)"]
    assert int(rows("index", "recent-people")[0]["people"]) >= 10
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
