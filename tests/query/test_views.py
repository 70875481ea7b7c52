"""The views that report authors see: every declared column, nobody's name, and no way out."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from obstore.store import ObjectStore

from ingest.function.bucket_url import open_bucket
from ingest.function.registry import Application, RegistryError
from ingest.function.roles import ROLES
from reports.query import views
from reports.query.quoting import describe, literal, quote, quote_if_needed
from reports.query.snapshot import PROBE, fetch
from reports.storage import table
from reports.writers import compact
from tests.buckets import ANY_TIME, NOTES, NOW, REGISTRY, keep, registry, session, uuid

OTHER = """
id = "other"
name = "Other"
[attributes.shellName]
type = "string"
values = ["zsh"]
role = "shell"
why = "Which shells?"
[attributes.memory]
type = "number"
why = "How much?"
[events.Opened]
why = "Is it used?"
[events.Opened.attributes.place]
type = "string"
why = "Where?"
"""
BARE = 'id = "notes"\nname = "Notes"\n'
OPENED = [{"type": "Opened", "time": "2026-03-04T05:06:08.5Z", "attributes": {"how": "key"}}]
SAVED = [{"type": "Save", "startTime": "2026-03-04T05:06:08Z", "endTime": "2026-03-04T05:06:08.250500Z"}]


@pytest.fixture
def store(bucket: str) -> ObjectStore:
    return open_bucket(bucket)


@pytest.fixture
def connect(store: ObjectStore, bucket: str) -> Callable[..., duckdb.DuckDBPyConnection]:
    """Compacts what is there and opens the views."""

    def run(known: Mapping[str, Application] = REGISTRY, *, private: bool = False) -> duckdb.DuckDBPyConnection:
        compact.compact(store, bucket, known)
        return views.connect(fetch(store, bucket, known), private=private)

    return run


def ask(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    result = connection.execute(sql)
    names = [name for name, *_ in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def one(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    (row,) = ask(connection, sql)
    return row


SESSIONS = {
    "application": "VARCHAR", "user_id": "UBIGINT", "application_version": "VARCHAR", "start_time": "TIMESTAMP",
    "end_time": "TIMESTAMP", "ingestion_time": "TIMESTAMP", "duration_ms": "DOUBLE", "os": "VARCHAR",
    "exit_code": "BIGINT", "ci": "BOOLEAN", "shell": "VARCHAR", "osName": "VARCHAR", "exitCode": "BIGINT",
    "inCi": "BOOLEAN", "memory": "DOUBLE", "checkedAt": "TIMESTAMP", "comment": "VARCHAR",
}  # fmt: skip


@pytest.mark.parametrize("filled", ["no table", "a table without rows", "a row", "a row of a narrower registry"])
def test_views_have_every_declared_column_with_its_type(
    filled: str, store: ObjectStore, bucket: str, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    if filled == "a table without rows":
        table.load_or_create(bucket, REGISTRY["notes"])
    elif filled == "a row":
        keep(store, session())
    elif filled == "a row of a narrower registry":
        keep(store, session(), known=registry(BARE))
        compact.compact(store, bucket, registry(BARE))
    connection = connect()
    found = describe(connection, "sessions")
    assert found | SESSIONS == found
    assert set(ROLES) <= set(found)
    assert not {"session_id", "attributes", "clock_suspect"} & set(found)
    events = describe(connection, "events")
    assert {"type": "VARCHAR", "role": "VARCHAR", "time": "TIMESTAMP", "how": "VARCHAR"}.items() <= events.items()
    assert "osName VARCHAR" in events["session"]
    spans = describe(connection, "spans")
    assert {"type": "VARCHAR", "start_time": "TIMESTAMP", "duration_ms": "DOUBLE", "size": "BIGINT"}.items() <= (
        spans.items()
    )
    assert describe(connection, "releases") == {
        "application": "VARCHAR", "version": "VARCHAR", "released": "TIMESTAMP",
    }  # fmt: skip
    assert ask(connection, "SELECT count(*) AS n FROM sessions")[0]["n"] == (1 if "a row" in filled else 0)


def test_a_registry_without_attributes_events_or_spans_has_views(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    bare = registry(BARE)
    assert ask(connect(bare), "FROM events") == []
    keep(store, session(), known=bare)
    connection = connect(bare)
    assert one(connection, "SELECT os, application_version FROM sessions") == {
        "os": None, "application_version": "1.2.3",
    }  # fmt: skip
    assert ask(connection, "FROM events") == ask(connection, "FROM spans") == []


def test_a_registry_of_nothing_but_the_probe_has_empty_views(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    probe = registry(BARE.replace('"notes"', f'"{PROBE}"'))
    keep(store, session(applicationId=PROBE), known=probe)
    connection = connect(probe)
    for view in ("sessions", "events", "spans"):
        assert ask(connection, f"FROM {view}") == []


def test_the_probe_is_left_out(store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]) -> None:
    known = registry(NOTES, NOTES.replace('"notes"', f'"{PROBE}"'))
    keep(store, session(1), session(2, applicationId=PROBE), known=known)
    assert [row["application"] for row in ask(connect(known), "FROM sessions")] == ["notes"]


def test_a_session_is_a_row_with_roles_and_attributes_and_times_in_utc(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    keep(store, session(attributes={"osName": "macOS", "exitCode": -1, "checkedAt": "2026-03-04T06:00:00+01:00"}))
    row = one(connect(), "FROM sessions")
    assert (row["os"], row["osName"], row["exit_code"], row["exitCode"]) == ("macOS", "macOS", -1, -1)
    assert row["checkedAt"] == datetime(2026, 3, 4, 5)
    assert row["start_time"] == NOW.replace(tzinfo=None)
    assert row["duration_ms"] == 2000.0
    assert row["shell"] is None


def test_events_and_spans_are_rows_with_their_session(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    keep(store, session(1, events=[*OPENED, {"type": "Closed", "time": "2026-03-04T05:06:09Z"}], spans=SAVED))
    keep(store, session(2))
    connection = connect()
    opened, closed = ask(connection, "SELECT * FROM events ORDER BY time")
    assert (opened["type"], opened["role"], opened["how"]) == ("Opened", "update_notice", "key")
    assert (closed["type"], closed["role"], closed["how"]) == ("Closed", None, None)
    assert opened["time"] == datetime(2026, 3, 4, 5, 6, 8, 500_000)
    assert opened["session"]["os"] == "Linux" and opened["session"]["duration_ms"] == 2000.0
    assert one(connection, "SELECT duration_ms, size, session.exit_code AS code FROM spans") == {
        "duration_ms": 250.5, "size": None, "code": 0,
    }  # fmt: skip


def test_an_exception_is_what_an_event_of_the_right_type_says(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    kind = '[events.{}]\nwhy = "?"\n[events.{}.attributes.{}]\ntype = "string"\npublish = true\nwhy = "?"\n{}'
    role = 'role = "exception_type"\n'
    raised = [("Crashed", "what", role), ("Warned", "kind", role), ("Asked", "what", "")]
    known = registry(BARE + "".join(kind.format(name, name, of, role) for name, of, role in raised))
    events = [
        {"type": name, "time": f"2026-03-04T05:06:0{number}Z", "attributes": {of: f"{name}Error"}}
        for number, (name, of, _) in enumerate(raised, 6)
    ]
    keep(store, session(1, attributes={}, events=events), known=known)
    found = ask(connect(known), "SELECT type, exception_type FROM events ORDER BY time")
    # Another type of event may have an attribute of the same name.
    assert [(one["type"], one["exception_type"]) for one in found] == [
        ("Crashed", "CrashedError"), ("Warned", "WarnedError"), ("Asked", None),
    ]  # fmt: skip


def test_a_suspect_clock_is_out_of_every_view(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    keep(store, session(start=NOW + timedelta(seconds=1), events=OPENED, spans=SAVED))
    for private in (False, True):
        connection = connect(private=private)
        assert [ask(connection, f"FROM {view}") for view in ("sessions", "events", "spans")] == [[], [], []]


# What nobody may see


def test_a_user_is_an_opaque_number_that_another_build_does_not_share(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    keep(store, session(1, user=1, events=OPENED, spans=SAVED), session(2, user=1), session(3, user=2))
    seen = []
    for _ in range(2):
        connection = connect()
        users = {row["user_id"] for row in ask(connection, "SELECT user_id FROM sessions")}
        assert len(users) == 2
        assert all(isinstance(user, int) for user in users)
        inside = one(connection, "SELECT e.user_id AS e, s.user_id AS s FROM events e, spans s")
        assert len(set(inside.values())) == 1 and inside["e"] in users
        seen.append(users)
    assert not seen[0] & seen[1]


def test_a_ci_run_is_nobody(store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]) -> None:
    for number, ci in enumerate((True, False, None)):
        keep(store, session(number, attributes={"inCi": ci}, events=OPENED))
    connection = connect()
    for view in ("sessions", "events"):
        inside = "inCi" if view == "sessions" else "session.inCi"
        found = ask(connection, f"SELECT {inside} AS ci, user_id IS NULL AS nobody FROM {view}")
        assert {row["ci"]: row["nobody"] for row in found} == {True: True, False: False, None: False}
    assert one(connect(private=True), "SELECT count(user_id) AS n FROM sessions")["n"] == 3


def test_free_text_and_ids_are_in_no_public_view(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    known = registry(NOTES, OTHER)
    secret = "call me at 555-0100"
    keep(store, session(1, attributes={"comment": secret}, events=OPENED, spans=SAVED), known=known)
    place = [{"type": "Opened", "time": "2026-03-04T05:06:08Z", "attributes": {"place": secret}}]
    keep(store, session(2, applicationId="other", attributes={}, events=place), known=known)
    public, private = connect(known), connect(known, private=True)
    for view in ("sessions", "events", "spans"):
        shown = str(ask(public, f"FROM {view}"))
        assert "555" not in shown
        assert uuid(1) not in shown and uuid(1_000_001) not in shown
    assert one(public, "SELECT comment FROM sessions WHERE application = 'notes'")["comment"] == "(free text)"
    assert one(public, "SELECT comment FROM sessions WHERE application = 'other'")["comment"] is None
    assert one(public, "SELECT place FROM events WHERE application = 'other'")["place"] == "(free text)"
    assert one(public, "SELECT count(*) AS n FROM sessions WHERE comment LIKE '%555%'")["n"] == 0
    row = one(private, "FROM sessions WHERE application = 'notes'")
    assert (row["comment"], row["session_id"], row["user_id"]) == (secret, uuid(1), uuid(1_000_001))
    assert one(private, "SELECT session_id FROM spans")["session_id"] == uuid(1)
    assert one(private, "SELECT place FROM events WHERE application = 'other'")["place"] == secret


LOCKED = [
    "COPY (SELECT 1) TO '{directory}/x.csv'",
    "COPY (SELECT 1) TO '{file}'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "ATTACH '{directory}/x.duckdb'",
    "EXPORT DATABASE '{directory}/x'",
    "SET threads = 1",
    "RESET enable_external_access",
    "SET lock_configuration = false",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{bucket}/ledger/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_parquet('{directory}/*.parquet')",
    "SELECT * FROM read_csv('https://example.org/x.csv')",
    "INSTALL httpfs",
    "LOAD httpfs",
]


@pytest.mark.parametrize("private", [False, True])
def test_a_connection_reads_its_files_and_nothing_else(
    private: bool, store: ObjectStore, bucket: str, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    keep(store, session())
    connection = connect(private=private)
    (file,) = Path(bucket).glob("tables/notes/month=*/*.parquet")
    before = file.read_bytes()
    for sql in LOCKED:
        with pytest.raises(duckdb.Error):
            connection.execute(sql.format(directory=file.parent, file=file, bucket=bucket)).fetchall()
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert len(ask(connection, "FROM sessions")) == 1


# Several applications


def test_applications_are_united_by_name(store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]) -> None:
    known = registry(NOTES, OTHER)
    keep(store, session(1, attributes={"osName": "Linux", "memory": 1}, events=OPENED), known=known)
    keep(store, session(2, applicationId="other", attributes={"shellName": "zsh", "memory": 2}), known=known)
    connection = connect(known)
    found = ask(connection, "SELECT application, os, shell, memory, osName, shellName FROM sessions ORDER BY memory")
    assert [list(row.values()) for row in found] == [
        ["notes", "Linux", None, 1.0, "Linux", None],
        ["other", None, "zsh", 2.0, None, "zsh"],
    ]
    assert one(connection, "SELECT how, place, session.osName AS os, session.shellName AS shell FROM events") == {
        "how": "key", "place": None, "os": "Linux", "shell": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ('[attributes.memory]\ntype = "number"', '[attributes.memory]\ntype = "integer"', "memory (attributes)"),
        ('[attributes.memory]\ntype = "number"', '[attributes.MEMORY]\ntype = "integer"', "MEMORY (attributes)"),
        ("attributes.place]\ntype = \"string\"", "attributes.how]\ntype = \"integer\"", "how (events)"),
    ],
)  # fmt: skip
def test_one_name_with_two_types_is_refused_with_both_applications_types_and_the_remedy(
    old: str, new: str, name: str, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    with pytest.raises(RegistryError) as raised:
        connect(registry(NOTES, OTHER.replace(old, new)))
    (fault,) = raised.value.faults
    assert fault.startswith(f"{name} is ")
    for part in ("of 'notes'", "integer in that of 'other'", "under another name", "removed = true"):
        assert part in fault


@pytest.mark.parametrize("order", [1, -1])
def test_a_removed_attribute_yields_to_another_applications_type(
    order: int, store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    changed = OTHER.replace(
        '[attributes.memory]\ntype = "number"', '[attributes.memory]\nremoved = true\ntype = "string"'
    )
    known = registry(*[NOTES, changed][::order])
    keep(store, session(1, attributes={"memory": 1}), session(2, applicationId="other", attributes={}), known=known)
    connection = connect(known)
    assert describe(connection, "sessions")["memory"] == "DOUBLE"
    assert sorted(str(row["memory"]) for row in ask(connection, "FROM sessions")) == ["1.0", "None"]


# What people choose

CHOICES = """
[attributes.usesCache]
type = "boolean"
why = "Is it used?"

[attributes.style]
type = "string"
values = ["plain", "rich"]
why = "Which could go?"

[attributes.gone]
type = "boolean"
removed = true
why = "It was used"
"""


def test_a_run_has_a_row_for_each_thing_that_people_choose(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    known = registry(NOTES.replace("[events.Opened]", CHOICES + "[events.Opened]", 1))
    mac = {"osName": "macOS", "comment": "mine", "inCi": False, "memory": 1.5}
    keep(
        store,
        session(1, attributes=mac | {"usesCache": True, "style": "rich", "gone": True}),
        session(2, attributes={"usesCache": False}),
        session(3, attributes={"inCi": True, "style": "plain"}),
        known=known,
    )
    rows = ask(connect(known), "FROM features ORDER BY feature, choice")
    assert [(row["feature"], row["choice"], row["os"]) for row in rows] == [
        ("style", "plain", None), ("style", "rich", "macOS"), ("usesCache", "no", None), ("usesCache", "yes", "macOS"),
    ]  # fmt: skip
    assert [row["user_id"] is None for row in rows] == [True, False, False, False]
    assert "comment" not in rows[0]


def test_a_tool_without_choices_has_the_view_of_them(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    keep(store, session())
    assert ask(connect(), "FROM features") == []


# The other views


def test_releases_are_read_anew_each_time(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    for day in ("01", "02"):
        released = [{"version": "1.0.0", "released": f"2026-01-{day}T00:00:00Z"}, {"version": "1.1.0"}]
        store.put("releases/notes.json", json.dumps(released).encode())
        assert ask(connect(), "FROM releases ORDER BY version") == [
            {"application": "notes", "version": "1.0.0", "released": datetime(2026, 1, int(day))},
            {"application": "notes", "version": "1.1.0", "released": None},
        ]


def test_runs_are_in_the_pipeline_without_what_they_counted(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    keep(store, session())
    connection = connect()
    assert set(describe(connection, "pipeline")) == {"run", "started", "ended", "succeeded"}
    row = one(connection, "FROM pipeline")
    assert row["succeeded"] is True and row["started"] <= row["ended"]


def test_names_and_texts_are_quoted(store: ObjectStore) -> None:
    assert quote('a"b') == '"a""b"'
    assert literal("a'b") == "'a''b'"
    assert quote_if_needed("shell") == "shell"
    assert quote_if_needed("a b") == '"a b"'


def test_a_directory_named_like_a_partition_is_only_a_directory(tmp_path: Path) -> None:
    bucket = str(tmp_path / "os=Plan9" / "it's" / "start_time=1")
    store = open_bucket(bucket)
    keep(store, session())
    compact.compact(store, bucket, REGISTRY)
    compact.compact(store, bucket, REGISTRY)
    with views.connect(fetch(store, bucket, REGISTRY)) as connection:
        assert one(connection, "SELECT os, start_time FROM sessions")["os"] == "Linux"


def test_a_renamed_attribute_keeps_its_history_while_old_versions_still_send_it(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    renamed = NOTES.replace("[attributes.osName]\n", '[attributes.system]\nreplaces = "osName"\n')
    renamed = renamed.replace("[attributes.inCi]\n", '[attributes.onServer]\nreplaces = "inCi"\n')
    renamed = renamed.replace("[attributes.exitCode]\n", '[attributes.code]\nreplaces = "exitCode"\n')
    renamed = renamed.replace("Opened.attributes.how]\n", 'Opened.attributes.means]\nreplaces = "how"\n')
    new = registry(renamed)
    keep(store, session(1, events=OPENED, attributes={"osName": "macOS", "exitCode": 7, "inCi": True}))
    connect()
    keep(store, session(2, events=OPENED, attributes={"osName": "Linux", "inCi": False}), known=new)
    opened = [{**OPENED[0], "attributes": {"means": "menu"}}]
    keep(
        store, session(3, user=2, events=opened, attributes={"system": "Linux", "code": 1, "onServer": True}), known=new
    )
    connection = connect(new)
    asked = "SELECT os, system, exit_code, ci, onServer, user_id IS NULL AS nobody FROM sessions ORDER BY ALL"
    assert ask(connection, asked) == [
        {"os": "Linux", "system": "Linux", "exit_code": 1, "ci": True, "onServer": True, "nobody": True},
        {"os": "Linux", "system": "Linux", "exit_code": None, "ci": False, "onServer": False, "nobody": False},
        {"os": "macOS", "system": "macOS", "exit_code": 7, "ci": True, "onServer": True, "nobody": True},
    ]
    assert [row["means"] for row in ask(connection, "SELECT means FROM events ORDER BY ALL")] == ["key", "key", "menu"]
    assert not {"osName", "inCi", "exitCode"} & set(describe(connection, "sessions"))
    assert "how" not in describe(connection, "events")


@pytest.mark.parametrize("compacted", [True, False], ids=["compacted since", "not compacted since"])
def test_integers_are_read_as_numbers_and_whole_numbers_as_integers(
    store: ObjectStore, bucket: str, connect: Callable[..., duckdb.DuckDBPyConnection], compacted: bool
) -> None:
    wide = registry(NOTES.replace('type = "integer"\nwhy', 'type = "number"\nwhy'))
    saved = [{**SAVED[0], "attributes": {"size": size}} for size in (1, 2)]
    keep(store, session(1, attributes={"memory": 2}, spans=saved))
    connect()
    if compacted:
        connect(wide)
    asked = "SELECT size FROM spans ORDER BY ALL"
    connection = views.connect(fetch(store, bucket, wide))
    assert describe(connection, "spans")["size"] == "DOUBLE"
    assert ask(connection, asked) == [{"size": 1.0}, {"size": 2.0}]
    fractions = [{**SAVED[0], "attributes": {"size": size}} for size in (2.5, 7, 1e300)]
    keep(store, session(2, spans=fractions), known=wide)
    assert [row["size"] for row in ask(connect(wide), asked)] == [1, 2, 2.5, 7, 1e300]
    connection = connect(REGISTRY)
    assert describe(connection, "spans")["size"] == "BIGINT"
    assert [row["size"] for row in ask(connection, asked)] == [1, 2, 7, None, None]
    assert ask(connect(wide), asked)[2] == {"size": 2.5}


def test_a_type_that_compaction_refuses_changes_no_other_application(
    store: ObjectStore, bucket: str, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    keep(store, session(1, attributes={"memory": 2.5, "osName": "Linux"}))
    known = registry(NOTES, OTHER)
    connect(known)
    changed = NOTES.replace('type = "number"', 'type = "boolean"')
    other = OTHER.replace("[attributes.memory]\n", "[attributes.free]\n")
    connection = views.connect(fetch(store, bucket, registry(changed, other)))
    assert describe(connection, "sessions")["memory"] == "BOOLEAN"
    assert one(connection, "SELECT memory, os FROM sessions") == {"memory": None, "os": "Linux"}


def test_a_role_goes_on_from_a_removed_attribute_to_its_successor(
    store: ObjectStore, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    split = NOTES.replace(
        'values = ["Linux", "macOS"]\nrole = "os"', 'values = ["Linux", "macOS"]\nrole = "os"\nremoved = true'
    )
    split += '[attributes.family]\ntype = "string"\nvalues = ["Linux", "Windows"]\nrole = "os"\nwhy = "Which?"\n'
    keep(store, session(1))
    connect()
    new = registry(split)
    keep(store, session(2, attributes={"osName": "macOS", "family": "Windows"}), known=new)
    keep(store, session(3, attributes={"osName": "macOS"}), known=new)
    found = ask(connect(new), "SELECT os, family, osName FROM sessions ORDER BY ALL NULLS LAST")
    assert [tuple(row.values()) for row in found] == [
        ("Linux", None, "Linux"),
        ("Windows", "Windows", None),
        (None, None, None),
    ]


def test_times_that_cannot_be_are_in_no_view_though_the_row_does_not_say_so(
    store: ObjectStore, bucket: str, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    """Rows of a compaction that looked at the start only. An event and a span are left out alone."""
    then = [*OPENED, {"type": "Opened", "time": "2099-01-01T00:00:00Z"}]
    long = [*SAVED, {"type": "Save", "startTime": "1970-01-01T00:00:00Z", "endTime": "2026-03-04T05:06:08Z"}]
    keep(store, session(1, sessionEndTime="8000-12-31T23:59:59Z", events=OPENED, spans=SAVED), settings=ANY_TIME)
    keep(store, session(2, events=then, spans=long), session(3), settings=ANY_TIME)
    compact.compact(store, bucket, REGISTRY)
    handle = table.load(bucket, "notes")
    assert handle is not None
    handle.update({"clock_suspect": "false"})
    connection = connect()
    counts = {
        view: one(connection, f"SELECT count(*) AS n FROM {view}")["n"] for view in ("sessions", "events", "spans")
    }
    assert counts == {"sessions": 2, "events": 1, "spans": 1}
    years = "SELECT min(time) AS first, max(time) AS last FROM events"
    assert {time.year for time in one(connection, years).values()} == {2026}
    assert one(connection, "SELECT max(duration_ms) AS longest FROM sessions")["longest"] == 2000
