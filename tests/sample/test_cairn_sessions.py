"""The generated sessions: that they are sessions, and that what `Truths` says of them is so, for several seeds."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from math import log, sqrt
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest

from ingest.function.registry import load
from ingest.function.session_format import parse
from ingest.function.settings import Settings
from reports.sample.cairn_sessions import APPLICATION, Truths, releases, sessions
from tests.attack import WHOLE

pytestmark = pytest.mark.slow

END = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEGIN = END - timedelta(weeks=26)
SEEDS = (0, 1, 2) if WHOLE else (0,)
REGISTRY = Path(__file__).parents[2] / "ingest" / "applications"
TRUTHS = Truths()
USERS = 2_000

Sessions = list[dict[str, Any]]


@cache
def sample(seed: int) -> Sessions:
    return list(sessions(seed=seed, users=USERS, end=END))


def small(**truths: Any) -> Sessions:
    return list(sessions(8_000, users=800, seed=7, end=END, truths=Truths(**truths)))


def of_people(generated: Sessions) -> Sessions:
    return [session for session in generated if not session["attributes"]["runningInCi"]]


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def minor(version: str) -> int:
    return int(version.split(".")[1])


def seconds(
    generated: Sessions, kind: str, by: Callable[[dict[str, Any], dict[str, Any]], Any]
) -> dict[Any, list[float]]:
    durations = defaultdict(list)
    for session in generated:
        for span in session["spans"]:
            if span["type"] == kind:
                took = time(span["endTime"]) - time(span["startTime"])
                durations[by(session, span)].append(took.total_seconds())
    return durations


def assert_share(hits: Iterable[bool], expected: float) -> None:
    """Within four standard errors, which chance leaves once in 16,000 times."""
    seen = list(hits)
    error = 4 * sqrt(expected * (1 - expected) / len(seen))
    assert mean(seen) == pytest.approx(expected, abs=error)


def with_completion(generated: Sessions) -> dict[bool, list[bool]]:
    """Whether sessions failed with task not found, by whether tab completion was set up."""
    groups = defaultdict(list)
    for session in of_people(generated):
        facts = session["attributes"]
        groups[facts["usesTabCompletion"]].append(facts["failureReason"] == "TaskNotFound")
    return groups


def fourth_week(generated: Sessions) -> dict[str, float]:
    """Of each release, its share of the runs in the fourth week after it came out."""
    shares = {}
    for version, released in releases(END):
        first, last = released + timedelta(days=21), released + timedelta(days=28)
        runs = [s["applicationVersion"] for s in generated if first <= time(s["sessionStartTime"]) < last]
        if released >= BEGIN:
            shares[version] = runs.count(version) / len(runs)
    return shares


def test_the_same_seed_gives_the_same_sessions() -> None:
    first, again, other = (list(sessions(300, users=50, seed=seed, end=END)) for seed in (1, 1, 2))
    assert first == again
    assert not {s["sessionId"] for s in first} & {s["sessionId"] for s in other}


def test_the_end_may_be_in_any_time_zone() -> None:
    elsewhere = END.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    assert list(sessions(50, users=5, end=END)) == list(sessions(50, users=5, end=elsewhere))


@pytest.mark.parametrize("count", [0, 1, 7, 999])
def test_there_are_exactly_as_many_sessions_as_asked_for(count: int) -> None:
    assert len(list(sessions(count, users=40, end=END))) == count


def test_there_must_be_somebody() -> None:
    with pytest.raises(ValueError, match=r"users\b.*\b1\b.*\b0\b"):
        next(sessions(10, users=0, end=END))


@pytest.mark.parametrize("seed", SEEDS)
def test_sessions_are_in_order_and_within_the_weeks(seed: int) -> None:
    starts = [session["sessionStartTime"] for session in sample(seed)]
    assert starts == sorted(starts)
    assert time(starts[0]) >= BEGIN
    assert time(max(session["sessionEndTime"] for session in sample(seed))) < END
    assert {(time(start) - BEGIN).days // 7 for start in starts} == set(range(26))


def test_every_session_is_accepted_and_nothing_of_it_is_left_out() -> None:
    registry = load(REGISTRY)
    for session in sample(0)[::8]:
        line = parse(json.dumps(session).encode(), registry, END, Settings()).line("2026-06-01T12:00:00.000000Z")
        stored = json.loads(line)
        del stored["ingestionTime"]
        assert stored.pop("undeclared") == []
        assert stored == session  # neither an undeclared value, which becomes "(other)", nor one of a wrong type


def test_everything_declared_is_sent() -> None:
    declared = load(REGISTRY)[APPLICATION]
    sent: dict[str, set[str]] = defaultdict(set)
    for session in sample(0):
        sent[""] |= {name for name, value in session["attributes"].items() if value is not None}
        for part in (*session["events"], *session["spans"]):
            sent[part["type"]] |= part["attributes"].keys()
    expected = {kind.name: set(kind.attributes) for kind in (*declared.events.values(), *declared.spans.values())}
    assert sent == {"": set(declared.attributes)} | expected
    assert declared.sample


def test_parts_of_a_session_lie_within_it() -> None:
    for session in sample(0):
        start, end = session["sessionStartTime"], session["sessionEndTime"]
        assert all(start <= event["time"] <= end for event in session["events"])
        assert all(start <= span["startTime"] <= span["endTime"] <= end for span in session["spans"])
        kinds = [span["type"] for span in session["spans"]]
        work = [span for span in session["spans"] if span["type"] != "RunTask"]
        assert all(before["endTime"] == after["startTime"] for before, after in pairwise(work))
        assert kinds[:1] in ([], ["LoadConfiguration"])


@pytest.mark.parametrize("seed", SEEDS)
def test_people_and_build_servers_are_apart(seed: int) -> None:
    people = {session["userId"] for session in of_people(sample(seed))}
    servers = Counter(s["userId"] for s in sample(seed) if s["attributes"]["runningInCi"])
    assert len(people) == USERS
    assert not people & servers.keys()
    assert servers.total() == round(20_000 * TRUTHS.ci_share)
    assert len({session["sessionId"] for session in sample(seed)}) == 20_000
    assert {s["attributes"]["ciSystem"] for s in sample(seed)} == {None, *TRUTHS.ci_systems}
    once = sum(1 for runs in servers.values() if runs == 1)
    assert once > servers.total() / 2  # most have a new disk, and so a new id, each time


@pytest.mark.parametrize("seed", SEEDS)
def test_the_share_of_task_not_found_is_as_stated(seed: int) -> None:
    assert_share((s["attributes"]["failureReason"] == "TaskNotFound" for s in sample(seed)), TRUTHS.task_not_found)


@pytest.mark.parametrize("effect", [0.6, 0.3, 0.0][: None if WHOLE else 1])
def test_completion_has_the_effect_stated_and_the_share_stays(effect: float) -> None:
    generated = small(task_not_found=0.2, completion_effect=effect)  # so many that the effect shows in a small sample
    groups = with_completion(generated)
    assert_share((s["attributes"]["failureReason"] == "TaskNotFound" for s in generated), 0.2)
    error = 4 * sqrt(sum((1 - mean(group)) / sum(group) for group in groups.values()))
    assert error < 0.35
    assert log(mean(groups[True]) / mean(groups[False])) == pytest.approx(log(1 - effect), abs=error)


def test_completion_has_its_effect_at_the_usual_share() -> None:
    groups: dict[bool, list[bool]] = {True: [], False: []}
    for seed in SEEDS:
        for completion, failed in with_completion(sample(seed)).items():
            groups[completion] += failed
    error = 4 * sqrt(sum((1 - mean(group)) / sum(group) for group in groups.values()))
    expected = log(1 - TRUTHS.completion_effect)
    assert log(mean(groups[True]) / mean(groups[False])) == pytest.approx(expected, abs=error)


@pytest.mark.parametrize("seed", SEEDS)
def test_systems_and_shells_have_the_shares_stated(seed: int) -> None:
    people = {session["userId"]: session["attributes"] for session in of_people(sample(seed))}.values()
    for system, share in TRUTHS.systems.items():
        assert_share((facts["osName"] == system for facts in people), share)
    for shell in ("zsh", "fish", "bash", "powershell", "cmd", "other"):
        share = sum(TRUTHS.systems[system] * shells.get(shell, 0) for system, shells in TRUTHS.shells.items())
        assert_share((facts["shellName"] == shell for facts in people), share)


@pytest.mark.parametrize("seed", SEEDS)
def test_fish_and_zsh_are_the_most_used_shells(seed: int) -> None:
    runs = Counter(session["attributes"]["shellName"] for session in of_people(sample(seed)))
    people = Counter({s["userId"]: s["attributes"]["shellName"] for s in of_people(sample(seed))}.values())
    for counted in (runs, people):
        assert {shell for shell, _ in counted.most_common(2)} == {"fish", "zsh"}


def test_releases_come_at_the_interval_and_three_are_older_than_the_sessions() -> None:
    dates = [date for _, date in releases(END)]
    assert {after - before for before, after in pairwise(dates)} == {timedelta(days=TRUTHS.release_interval)}
    assert [date < BEGIN for date in dates] == [True] * 3 + [False] * 6
    assert dates[-1] < END
    assert [version for version, _ in releases(END)] == [f"1.{number}.0" for number in range(9)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_release_reaches_over_40_percent_in_four_weeks_once_upgrades_are_automated(seed: int) -> None:
    automated = BEGIN + timedelta(weeks=TRUTHS.automated_week)
    dates = dict(releases(END))
    shares = fourth_week(sample(seed))
    assert Counter(dates[version] >= automated for version in shares) == {True: 3, False: 3}
    for version, share in shares.items():
        assert (share > 0.40) == (dates[version] >= automated), f"{version} reached {share:.0%}"


def test_adoption_follows_the_week_in_which_upgrades_are_automated() -> None:
    assert max(fourth_week(small(automated_week=26)).values()) < 0.40
    assert min(fourth_week(small(automated_week=0)).values()) > 0.40


def test_nobody_goes_back_and_nobody_runs_what_is_not_out() -> None:
    dates = dict(releases(END))
    last: dict[str, int] = {}
    for session in sample(0):
        number = minor(session["applicationVersion"])
        assert dates[session["applicationVersion"]] <= time(session["sessionStartTime"])
        assert number >= last.get(session["userId"], 0)
        last[session["userId"]] = number
        for event in session["events"]:
            if event["type"] == "UpdateNoticeShown":
                assert minor(event["attributes"]["newVersion"]) > number
                assert dates[event["attributes"]["newVersion"]] <= time(session["sessionStartTime"])
            elif event["type"] == "Upgraded":
                assert minor(event["attributes"]["previousVersion"]) < number


def test_upgrades_by_hand_come_hours_to_months_after_the_notice() -> None:
    shown: dict[str, datetime] = {}
    days = []
    for session in sample(0):
        for event in session["events"]:
            if event["type"] == "UpdateNoticeShown":
                shown.setdefault(session["userId"], time(event["time"]))
            elif event["type"] == "Upgraded":
                noticed = shown.pop(session["userId"], None)
                if noticed and not event["attributes"]["automated"]:
                    days.append((time(event["time"]) - noticed) / timedelta(days=1))
    assert len(days) > 200
    assert mean(day < 1 for day in days) > 0.02
    assert mean(day > 60 for day in days) > 0.1


@pytest.mark.parametrize("ratio", [0.6, 1.0][: None if WHOLE else 1])
def test_one_builder_is_as_much_faster_as_stated(ratio: float) -> None:
    generated = sample(0) if ratio == TRUTHS.builder_ratio else small(builder_ratio=ratio)
    durations = seconds(generated, "BuildImage", lambda session, span: span["attributes"]["builder"])
    assert min(map(len, durations.values())) > 1_000
    # The median of a log-normal is uncertain by 1.25 sigma / sqrt(n); people's project sizes add to it.
    assert median(durations["buildkit"]) / median(durations["legacy"]) == pytest.approx(ratio, rel=0.12)


def test_people_move_to_the_new_builder() -> None:
    for part, share in ((sample(0)[:1500], TRUTHS.buildkit[0]), (sample(0)[-1500:], TRUTHS.buildkit[1])):
        builders = {
            s["userId"]: s["attributes"]["imageBuilder"] for s in of_people(part) if s["attributes"]["taskCount"]
        }
        assert mean(builder == "buildkit" for builder in builders.values()) == pytest.approx(share, abs=0.09)


def test_loading_takes_longer_in_larger_projects_and_less_since_one_release() -> None:
    quick = minor(TRUTHS.quick_release)
    durations = seconds(
        sample(0),
        "LoadConfiguration",
        lambda session, span: (
            minor(session["applicationVersion"]) >= quick,
            span["attributes"]["taskCount"] >= 11,
        ),
    )
    for since in (False, True):
        assert median(durations[since, True]) > 1.5 * median(durations[since, False])
        assert mean(durations[since, True]) > 1.1 * median(durations[since, True])  # skewed
    of_known_size = seconds(
        sample(0),
        "LoadConfiguration",
        lambda session, span: (
            minor(session["applicationVersion"]) >= quick,
            8 <= span["attributes"]["taskCount"] <= 14,
        ),
    )
    ratio = median(of_known_size[True, True]) / median(of_known_size[False, True])
    assert ratio == pytest.approx(TRUTHS.loading_ratio, rel=0.08)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_odd_failure_is_that_of_one_odd_engine(seed: int) -> None:
    odd = [s for s in sample(seed) if s["attributes"]["containerEngineVersion"] == TRUTHS.odd_engine]
    assert len({session["userId"] for session in odd}) == TRUTHS.odd_engine_users
    failed = [s for s in sample(seed) if s["attributes"]["failureReason"] == TRUTHS.odd_failure]
    assert {s["attributes"]["containerEngineVersion"] for s in failed} == {TRUTHS.odd_engine}
    assert len({session["userId"] for session in failed}) >= 3
    tried = (s["attributes"] for s in odd if s["attributes"]["commandName"] == "run")
    assert_share(
        (facts["failureReason"] == TRUTHS.odd_failure for facts in tried if facts["failureReason"] != "TaskNotFound"),
        TRUTHS.odd_failure_share,
    )


def test_other_failures_have_the_shares_stated() -> None:
    groups = defaultdict(list)
    for session in (session for seed in SEEDS for session in sample(seed)):
        facts = session["attributes"]
        assert (facts["exitCode"] != 0) == (facts["failureReason"] is not None)
        odd = facts["containerEngineVersion"] == TRUTHS.odd_engine
        if facts["commandName"] == "run" and facts["failureReason"] != "TaskNotFound" and not odd:
            bad = session["applicationVersion"] == TRUTHS.bad_release
            groups[bad, facts["osName"] == "Windows"].append(facts["exitCode"] != 0)
    assert len(groups) == 4
    for (bad, windows), failed in groups.items():
        factors = (TRUTHS.bad_release_factor if bad else 1) * (TRUTHS.windows_factor if windows else 1)
        assert_share(failed, TRUTHS.other_failures * factors)


def test_a_failing_run_ends_where_it_failed() -> None:
    last = {"ImageBuildFailed": "BuildImage", "ImagePullFailed": "PullImage", "ContainerStartFailed": "StartContainer"}
    for session in sample(0):
        reason = session["attributes"]["failureReason"]
        kinds = [span["type"] for span in session["spans"]]
        if reason in last:
            assert kinds[-2:] == [last[reason], "CleanUp"]
        elif reason in ("TaskNotFound", "ConfigurationInvalid", "EngineUnavailable"):
            assert kinds == ["LoadConfiguration"]


@pytest.mark.parametrize("seed", SEEDS)
def test_activity_is_heavy_tailed_and_grows_and_rests_at_weekends(seed: int) -> None:
    people = of_people(sample(seed))
    runs = sorted(Counter(session["userId"] for session in people).values())
    assert sum(runs[-USERS // 10 :]) > 0.35 * sum(runs)
    starts = [time(session["sessionStartTime"]) for session in people]
    assert 0.02 < mean(start.weekday() >= 5 for start in starts) < 0.12
    assert mean(8 <= start.hour < 18 for start in starts) > 0.6
    month = timedelta(weeks=4)
    assert sum(start >= END - month for start in starts) > 1.15 * sum(start < BEGIN + month for start in starts)


def test_people_join_over_time() -> None:
    first: dict[str, datetime] = {}
    for session in of_people(sample(0)):
        first.setdefault(session["userId"], time(session["sessionStartTime"]))
    by_month = Counter((start - BEGIN).days // 28 for start in first.values())
    assert by_month[0] == max(by_month.values())  # who was there before
    assert min(by_month[month] for month in range(6)) > USERS * (1 - TRUTHS.there_at_start) / 6.5 / 2


def test_runs_of_a_person_come_in_bursts() -> None:
    def share_within_hours(generated: Sessions) -> float:
        starts = defaultdict(list)
        for session in of_people(generated):
            starts[session["userId"]].append(time(session["sessionStartTime"]))
        gaps = [after - before for runs in starts.values() for before, after in pairwise(runs)]
        return mean(gap < timedelta(hours=6) for gap in gaps)

    assert share_within_hours(sample(0)) > TRUTHS.bursts * 0.9
    assert share_within_hours(small(bursts=0.0)) < 0.15
