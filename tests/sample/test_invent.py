"""Made-up sessions of a registry that nobody made a generator for."""

import json
from datetime import UTC, datetime
from pathlib import Path

from ingest.function import registry
from ingest.function.session_format import parse
from ingest.function.settings import Settings
from reports.sample import invent
from tests.buckets import NOTES

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CAIRN = registry.parse(Path("ingest/applications/cairn.toml").read_text(encoding="utf-8"))
OTHERS = (CAIRN, registry.parse(NOTES))


def test_what_is_made_up_is_accepted_whole() -> None:
    for application in OTHERS:
        for session in invent.sessions(application, 300, users=40, seed=1, end=NOW):
            kept = json.loads(
                parse(json.dumps(session).encode(), {application.id: application}, NOW, Settings()).line("")
            )
            assert kept["undeclared"] == []
            assert None not in kept["attributes"].values()


def test_every_attribute_that_can_be_made_up_is() -> None:
    made = list(invent.sessions(CAIRN, 500, users=60, seed=1, end=NOW))
    seen = {name for session in made for name in session["attributes"]}
    free = {field.name for field in CAIRN.attributes.values() if field.free_text}
    assert seen == set(CAIRN.attributes) - free
    assert {one["type"] for session in made for one in session["spans"]} == set(CAIRN.spans)
    assert all("failureReason" not in one["attributes"] for one in made if one["attributes"]["exitCode"] == 0)


def test_the_same_seed_gives_the_same_sessions_of_as_many_people() -> None:
    first, again = (list(invent.sessions(OTHERS[1], 200, users=20, seed=3, end=NOW)) for _ in range(2))
    assert first == again
    assert 10 < len({one["userId"] for one in first}) <= 20
    assert len({one["sessionId"] for one in first}) == 200
    assert {one["applicationVersion"] for one in first} <= {version for version, _ in invent.releases(NOW)}
