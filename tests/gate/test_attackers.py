"""The aims of protection, on seeds held out while the gate was built; without rounding the same attacks succeed."""

import os
from pathlib import Path

import pytest

from reports.building.build import build
from reports.gate.rules import Rules
from reports.pages.site import Site
from tests.attack import WHOLE
from tests.attackers import builds, differences, durations, linked
from tests.attackers.linear import hidden
from tests.attackers.seeds import BUILD, HELD_OUT
from tests.losses import END, data, numbers
from tests.sites import fill, project, runs

pytestmark = pytest.mark.slow

PUBLIC, EXACT = Rules(), Rules(rounding=False)
# ABACULUS_ALL=1 attacks many worlds, CI fewer.
WORLDS = 12 if os.environ.get("ABACULUS_ALL") else 6 if WHOLE else 3


def follows(rules: Rules, most: int) -> float:
    """Which part of the groups of one to nine people linear programming determines."""
    known, every = hidden(rules, most, range(HELD_OUT, HELD_OUT + WORLDS))
    return known / every


@pytest.mark.parametrize("most", [2, 3])
def test_linear_programming_determines_few_hidden_groups_and_without_rounding_many(most: int) -> None:
    assert follows(PUBLIC, most) <= 0.03
    assert follows(EXACT, most) > 0.2


@pytest.mark.parametrize("attack", sorted(differences.ATTACKS))
def test_the_best_guess_of_a_difference_is_mostly_wrong_and_without_rounding_right(attack: str) -> None:
    seeds = range(BUILD, BUILD + 30 * WORLDS), range(HELD_OUT, HELD_OUT + 50 * WORLDS)
    assert differences.right(attack, PUBLIC, *seeds) <= 1 / 3
    assert differences.right(attack, EXACT, seeds[0], seeds[1][: 5 * WORLDS]) > 0.9


def test_the_duration_of_one_person_is_seldom_known_and_without_rounding_always() -> None:
    seeds = range(BUILD, BUILD + 5 * WORLDS), range(HELD_OUT, HELD_OUT + 20 * WORLDS)
    assert durations.known(PUBLIC, *seeds)[1] <= 0.2
    assert durations.known(EXACT, seeds[0], seeds[1][: 5 * WORLDS])[1] > 0.9


def test_two_builds_tell_little_of_one_new_person_and_without_rounding_most() -> None:
    seeds = range(HELD_OUT, HELD_OUT + 3 * WORLDS)
    assert builds.told(PUBLIC, seeds) <= 1 / 3
    assert builds.told(EXACT, seeds) > 0.5


def test_a_number_that_is_averaged_often_enough_is_known() -> None:
    curve = differences.curve(PUBLIC, (1, 1_024), range(HELD_OUT, HELD_OUT + 100))
    # This is not promised, and the page says so.
    assert curve[1] < 1 / 3 < 0.9 < curve[1_024]


CHART = "```yaml chart\ntype: table\ndata: sessions\nx: {}\ny: [people, count]\n```\n"
RECENT = "```sql recent\nSELECT user_id, os FROM sessions WHERE last_days(start_time, 28)\n```\n"
# The six on Linux with zsh, from tables, from a table and its filter, and from all that they did in the last weeks.
LINKED = {
    "tables": [CHART.format(x) for x in ("os", "shell", "[os, shell]")],
    "a filter": [CHART.format("os"), CHART.format("shell\nfilter: os")],
    "a window": [
        *(CHART.format(f"{x}\nfilter: start_time") for x in ("shell", "[os, shell]")),
        RECENT + CHART.replace("sessions", "recent").format("os"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("by", LINKED)
@pytest.mark.parametrize(("protection", "step", "follows"), [("", 5, set()), ("protect: threshold, ", 1, {6})])
def test_a_hidden_group_follows_from_linked_tables_of_a_site_only_without_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protection: str, step: int, follows: set[int], by: str
) -> None:
    pages = {f"p{number}.md": text for number, text in enumerate(LINKED[by])}
    project(tmp_path, {"index.md": "# Notes\n", **pages})
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(
        settings.read_text(encoding="utf-8").replace("minimum_users", f"{protection}minimum_users"), encoding="utf-8"
    )
    linux = runs(1, 40, osName="Linux", shellName="fish") + runs(41, 46, osName="Linux", shellName="zsh")
    fill(tmp_path / "bucket", linux + runs(51, 80, osName="macOS", shellName="zsh"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABACULUS_APPLICATIONS", str(tmp_path / "applications"))
    found = linked.determined(linked.groups(build("bucket", None) / "data", step))
    assert set(found.values()) == follows


def test_the_numbers_of_our_pages_are_measured_by_their_place(tmp_path: Path) -> None:
    found = list(numbers(Site(data(tmp_path / "bucket", 12), now=END)))
    assert len({place for place, _, _ in found}) == len(found) > 10
    assert {value for _, measure, value in found if measure == "people"} == {10.0}
