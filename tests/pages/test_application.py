"""`application:` in the front matter of a page."""

from collections.abc import Iterator

import pytest

from ingest.function import registry
from reports.pages.site import Page, Site
from tests import buckets
from tests.messages import guess, mentions
from tests.sites import APPLICATION, fill, runs, site_of, source

OTHER = APPLICATION.replace('id = "notes"', 'id = "other"').replace('name = "Notes"', 'name = "Other"')
NUMBER = "```yaml chart\ntype: number\ndata: {}\ny: people\n```\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("application") / "bucket"
    fill(path, runs(1, 30, shellName="fish"))
    known = {**buckets.registry(APPLICATION), "other": registry.parse(OTHER)}
    others = [buckets.session(900_000 + one["user"], **one) | {"applicationId": "other"} for one in runs(31, 50)]
    fill(path, others, known)
    with site_of(path, known) as made:
        yield made


def run(site: Site, front: str, body: str, name: str = "a") -> Page:
    site.faults.clear()
    return site.page(source(f"---\n{front}\n---\n{body}", path=f"{name}.md"))


def people(page: Page) -> list[object]:
    return [one.published.rows[0][-1] for one in page.series]


def test_a_page_counts_the_application_that_it_names(site: Site) -> None:
    body = NUMBER.format("sessions") + "```sql q\nFROM sessions\n```\n" + NUMBER.format("q\ntitle: Again")
    assert people(run(site, "title: x", body)) == [50, 50]
    assert people(run(site, "title: x\napplication: notes", body)) == [30, 30]
    page = run(site, "application: other", body)
    assert people(page) == [20, 20]
    assert page.series[0].sql.startswith("-- of the application other\n\n")
    # What one page names is its own affair.
    assert people(run(site, "title: x", body)) == [50, 50]
    assert site.faults == []


def test_an_application_that_is_not_there_is_a_mistake_with_its_line(site: Site) -> None:
    run(site, "title: x\napplication: note", NUMBER.format("sessions"))
    (fault,) = site.faults
    assert (fault.file, fault.line, fault.column) == ("site/a.md", 3, 1)
    assert mentions(fault.message, "note") and guess(fault.message) == "notes"


@pytest.mark.parametrize("given", ['"x\' OR true --"', "[notes]", "{a: b}", "1"])
def test_what_is_written_there_is_never_sql(site: Site, given: str) -> None:
    run(site, f"application: {given}", NUMBER.format("sessions"))
    assert len(site.faults) == 1
    assert "in the registry" in str(site.faults[0])
