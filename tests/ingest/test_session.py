"""The format of a session: what is refused, with which words, and what the stored line looks like."""

import io
import json
import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.json
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.function.registry import parse as registry
from ingest.function.session_format import Session, SessionError, canonical_time, parse, timestamp
from ingest.function.settings import Settings

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
ID = "11112222-3333-4444-a555-666677778888"
USER = "99990000-3333-4444-a555-666677778888"
WHY = 'why = "to test"\n'
TOOL = registry(
    f"""
id = "tool"
[attributes.osName]
type = "string"
values = ["Linux", "macOS"]
{WHY}
[attributes.osVersion]
type = "string"
pattern = '\\d+(\\.\\d+)*'
{WHY}
[attributes.note]
type = "string"
{WHY}
[attributes.exitCode]
type = "integer"
{WHY}
[attributes.load]
type = "number"
{WHY}
[attributes.fast]
type = "boolean"
{WHY}
[attributes.installed]
type = "timestamp"
{WHY}
[attributes.gone]
type = "string"
removed = true
{WHY}
[events.Notice]
{WHY}
[events.Notice.attributes.version]
type = "string"
{WHY}
[events.Dropped]
removed = true
{WHY}
[spans.Load]
{WHY}
[spans.Load.attributes.count]
type = "integer"
{WHY}
"""
)
RETIRED = registry('id = "old"\nretired = true')
REGISTRY = {"tool": TOOL, "old": RETIRED}
TIME = pa.timestamp("us", "UTC")
# The shape that compaction parses with, an unknown member being an error.
SCHEMA = pa.schema(
    {
        "sessionId": pa.string(),
        "userId": pa.string(),
        "sessionStartTime": TIME,
        "sessionEndTime": TIME,
        "ingestionTime": TIME,
        "applicationId": pa.string(),
        "applicationVersion": pa.string(),
        "attributes": pa.struct(
            {
                "osName": pa.string(),
                "osVersion": pa.string(),
                "note": pa.string(),
                "exitCode": pa.int64(),
                "load": pa.float64(),
                "fast": pa.bool_(),
                "installed": TIME,
            }
        ),
        "events": pa.list_(
            pa.struct({"type": pa.string(), "time": TIME, "attributes": pa.struct({"version": pa.string()})})
        ),
        "spans": pa.list_(
            pa.struct(
                {
                    "type": pa.string(),
                    "startTime": TIME,
                    "endTime": TIME,
                    "attributes": pa.struct({"count": pa.int64()}),
                }
            )
        ),
        "undeclared": pa.list_(pa.string()),
    }
)


def body(**members: Any) -> dict[str, Any]:
    """A session that is accepted, with some members replaced; None leaves one out."""
    whole = {
        "sessionId": ID,
        "userId": USER,
        "sessionStartTime": "2026-03-04T01:02:03.123456789Z",
        "sessionEndTime": "2026-03-04T01:02:04Z",
        "applicationId": "tool",
        "applicationVersion": "1.2.3",
    } | members
    return {name: value for name, value in whole.items() if value is not None}


def read(sent: dict[str, Any] | bytes, settings: Settings | None = None) -> Session:
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return parse(raw, REGISTRY, NOW, settings or Settings())


def stored(sent: dict[str, Any] | bytes) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(read(sent).line(timestamp(NOW)))
    return line


def refused(sent: dict[str, Any] | bytes, settings: Settings | None = None) -> SessionError:
    with pytest.raises(SessionError) as raised:
        read(sent, settings)
    return raised.value


def faults(sent: dict[str, Any] | bytes, settings: Settings | None = None) -> list[dict[str, Any]]:
    error = refused(sent, settings)
    assert error.message == "Request body has validation errors"
    assert error.faults
    return error.faults


def table(lines: bytes) -> pa.Table:
    options = pyarrow.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="error")
    return pyarrow.json.read_json(
        io.BytesIO(lines), parse_options=options, read_options=pyarrow.json.ReadOptions(use_threads=False)
    )


def test_the_stored_line_has_every_member_in_order_and_every_value_in_its_declared_type() -> None:
    sent = body(
        attributes={
            "osName": "Linux",
            "osVersion": "6.1",
            "note": "Zoë \u2028 🎉",
            "exitCode": -1,
            "load": 4,
            "fast": True,
            "installed": "2026-01-01T01:30:00.1+01:30",
        },
        events=[{"type": "Notice", "time": "2026-03-04T01:02:03.5Z", "attributes": {"version": "2.0"}}],
        spans=[{"type": "Load", "startTime": "2026-03-04T01:02:03Z", "endTime": "2026-03-04T01:02:03.000000001Z"}],
        ingestionTime="2001-01-01T00:00:00Z",
    )
    line = read(sent).line(timestamp(NOW))
    assert line.decode() == (
        f'{{"sessionId":"{ID}","userId":"{USER}","sessionStartTime":"2026-03-04T01:02:03.123456Z",'
        '"sessionEndTime":"2026-03-04T01:02:04.000000Z","ingestionTime":"2026-03-04T05:06:07.890123Z",'
        '"applicationId":"tool","applicationVersion":"1.2.3","attributes":{"osName":"Linux","osVersion":"6.1",'
        '"note":"Zoë \u2028 🎉","exitCode":-1,"load":4.0,"fast":true,"installed":"2026-01-01T00:00:00.100000Z"},'
        '"events":[{"type":"Notice","time":"2026-03-04T01:02:03.500000Z","attributes":{"version":"2.0"}}],'
        '"spans":[{"type":"Load","startTime":"2026-03-04T01:02:03.000000Z","endTime":"2026-03-04T01:02:03.000000Z",'
        '"attributes":{}}],"undeclared":[]}\n'
    )
    assert table(line).num_rows == 1


def test_what_is_absent_is_stored_as_empty() -> None:
    line = stored(body(events=[{"type": "Notice", "time": "2026-03-04T01:02:03Z"}]))
    assert line["attributes"] == {}
    assert line["events"][0]["attributes"] == {}
    assert line["spans"] == line["undeclared"] == []


def test_what_is_not_declared_is_left_out_and_only_its_path_is_kept() -> None:
    line = stored(
        body(
            attributes={"osName": "Linux", "secret": "s3cret", "gone": "s3cret"},
            events=[
                {"type": "Bar", "time": "2026-03-04T01:02:03Z", "attributes": {"secret": "s3cret"}},
                {"type": "Dropped", "time": "2026-03-04T01:02:03Z"},
                {"type": "Notice", "time": "2026-03-04T01:02:03Z", "attributes": {"secret": "s3cret"}},
            ],
            spans=[
                {
                    "type": "Load",
                    "startTime": "2026-03-04T01:02:03Z",
                    "endTime": "2026-03-04T01:02:03Z",
                    "attributes": {"qux": 1},
                },
                {"type": "Baz", "startTime": "2026-03-04T01:02:03Z", "endTime": "2026-03-04T01:02:03Z"},
            ],
        )
    )
    assert line["undeclared"] == [
        "attributes.gone",
        "attributes.secret",
        "events.Bar",
        "events.Dropped",
        "events.Notice.attributes.secret",
        "spans.Baz",
        "spans.Load.attributes.qux",
    ]
    assert "s3cret" not in json.dumps(line)
    assert [event["type"] for event in line["events"]] == ["Notice"]
    assert [span["type"] for span in line["spans"]] == ["Load"]


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("osName", "Linux", "Linux"),
        ("osName", "Plan 9", "(other)"),
        ("osVersion", "6.1.0", "6.1.0"),
        ("osVersion", "6.1\n", "(other)"),
        ("osVersion", "\u0666.\u0661", "(other)"),
        ("exitCode", 4.0, 4),
        ("exitCode", 2**63 - 1, 2**63 - 1),
        ("exitCode", -(2**63), -(2**63)),
        ("load", 1e308, 1e308),
        ("load", -0.5, -0.5),
        ("fast", False, False),
        ("note", "", ""),
        ("note", None, None),
    ],
)
def test_a_declared_value_is_stored(name: str, value: object, written: object) -> None:
    line = stored(body(attributes={name: value}))
    assert line["attributes"] == {name: written}
    assert type(line["attributes"][name]) is type(written)
    assert line["undeclared"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("osName", 1),
        ("note", True),
        ("exitCode", "1"),
        ("exitCode", 1.5),
        ("exitCode", True),
        ("exitCode", 1e300),
        ("exitCode", 2.0**63),
        ("load", "1"),
        ("load", False),
        ("fast", 1),
        ("fast", "true"),
        ("installed", "yesterday"),
        ("installed", 5),
    ],
)
def test_a_value_of_the_wrong_type_becomes_null_and_is_recorded(name: str, value: object) -> None:
    line = stored(body(attributes={name: value}))
    assert line["attributes"] == {name: None}
    assert line["undeclared"] == [f"attributes.{name}"]


def test_every_fault_is_listed_at_once() -> None:
    found = faults(b'{"sessionId":"x","events":[{}],"spans":[null],"attributes":{"1":[],"":{}}}')
    assert [(fault["key"], fault["type"]) for fault in found] == [
        ("sessionId", "uuid4"),
        ("userId", "required"),
        ("sessionStartTime", "required"),
        ("sessionEndTime", "required"),
        ("applicationId", "required"),
        ("applicationVersion", "required"),
        ("attributes[1]", "attributeName"),
        ("attributes[]", "required"),
        ("attributes[1]", "attributeValue"),
        ("attributes[]", "attributeValue"),
        ("events[0].type", "required"),
        ("events[0].time", "required"),
        ("spans[0].type", "required"),
        ("spans[0].startTime", "required"),
        ("spans[0].endTime", "required"),
    ]


EVENT = {"type": "Notice", "time": "2026-03-04T01:02:03Z"}
SPAN = {"type": "Load", "startTime": "2026-03-04T01:02:03Z", "endTime": "2026-03-04T01:02:03Z"}
UUID_MESSAGE = "sessionId must be a valid version 4 UUID"
VALUE_MESSAGE = "must be a string, integer, boolean or null value"

# name: what is sent, and its one fault: key, type, invalidValue (... when there is none), message
FAULTS: dict[str, tuple[dict[str, Any], str, str, Any, str]] = {
    "missing": (body(userId=None), "userId", "required", ..., "userId is a required field"),
    "empty": (body() | {"userId": ""}, "userId", "required", ..., "userId is a required field"),
    "null": (body() | {"userId": None}, "userId", "required", ..., "userId is a required field"),
    "time empty": (
        body(sessionStartTime=""), "sessionStartTime", "required", ..., "sessionStartTime is a required field",
    ),
    "time zero": (
        body(sessionEndTime="0001-01-01T00:00:00Z"), "sessionEndTime", "required", ...,
        "sessionEndTime is a required field",
    ),
    "no event time": (
        body(events=[EVENT, {"type": "Notice"}]), "events[1].time", "required", ..., "time is a required field",
    ),
    "uuid of version 1": (
        body(sessionId="11112222-3333-1444-a555-666677778888"), "sessionId", "uuid4",
        "11112222-3333-1444-a555-666677778888", UUID_MESSAGE,
    ),
    "uuid of variant c": (
        body(sessionId="11112222-3333-4444-c555-666677778888"), "sessionId", "uuid4",
        "11112222-3333-4444-c555-666677778888", UUID_MESSAGE,
    ),
    "uuid in capitals": (
        body(sessionId="AAAA2222-3333-4444-A555-666677778888"), "sessionId", "uuid4",
        "AAAA2222-3333-4444-A555-666677778888", UUID_MESSAGE,
    ),
    "uuid with a newline": (body(sessionId=ID + "\n"), "sessionId", "uuid4", ID + "\n", UUID_MESSAGE),
    "uuid in braces": (body(sessionId=f"{{{ID}}}"), "sessionId", "uuid4", f"{{{ID}}}", UUID_MESSAGE),
    "uuid in Arabic digits": (
        body(sessionId=ID.replace("1", "\u0661")), "sessionId", "uuid4", ID.replace("1", "\u0661"), UUID_MESSAGE,
    ),
    "uuid as a path": (
        body(sessionId="../../../etc/passwd"), "sessionId", "uuid4", "../../../etc/passwd", UUID_MESSAGE,
    ),
    "end before start by a nanosecond": (
        body(sessionStartTime="2026-03-04T01:02:03.000000002Z", sessionEndTime="2026-03-04T01:02:03.000000001Z"),
        "sessionEndTime", "gtefield", "2026-03-04T01:02:03.000000001Z",
        "sessionEndTime must be greater than or equal to sessionStartTime",
    ),
    "span ends before it starts, in another zone": (
        body(spans=[SPAN, SPAN, SPAN | {"endTime": "2026-03-04T02:02:02.9+01:00"}]), "spans[2].endTime", "gtefield",
        "2026-03-04T02:02:02.9+01:00", "endTime must be greater than or equal to startTime",
    ),
    "application unknown": (
        body(applicationId="nope"), "applicationId", "applicationId", "nope",
        "applicationId must be a valid application ID",
    ),
    "application as a path": (
        body(applicationId="../tool"), "applicationId", "applicationId", "../tool",
        "applicationId must be a valid application ID",
    ),
    "attribute name malformed in a span": (
        body(spans=[SPAN | {"attributes": {"1": "x"}}]), "spans[0].attributes[1]", "attributeName", "1",
        "attributes[1] must have a valid attribute name",
    ),
    "attribute name with a newline": (
        body(attributes={"a\n": "x"}), "attributes[a\n]", "attributeName", "a\n",
        "attributes[a\n] must have a valid attribute name",
    ),
    "attribute name not ASCII": (
        body(attributes={"größe": 1}), "attributes[größe]", "attributeName", "größe",
        "attributes[größe] must have a valid attribute name",
    ),
    "attribute name empty in an event": (
        body(events=[EVENT | {"attributes": {"": "x"}}]), "events[0].attributes[]", "required", ...,
        "attributes[] is a required field",
    ),
    "attribute value an array": (
        body(attributes={"x": []}), "attributes[x]", "attributeValue", [], f"attributes[x] {VALUE_MESSAGE}",
    ),
    "attribute value an object in an event": (
        body(events=[EVENT | {"attributes": {"x": {}}}]), "events[0].attributes[x]", "attributeValue", {},
        f"attributes[x] {VALUE_MESSAGE}",
    ),
    "201 attributes": (
        body(attributes={f"a{number}": 1 for number in range(201)}), "attributes", "maxItems", 201,
        "attributes must have at most 200 entries",
    ),
    "1,001 events": (body(events=[EVENT] * 1001), "events", "maxItems", 1001, "events must have at most 1000 entries"),
    "1,001 spans": (body(spans=[SPAN] * 1001), "spans", "maxItems", 1001, "spans must have at most 1000 entries"),
    "attribute name of 65 characters": (
        body(attributes={"a" * 65: 1}), f"attributes[{'a' * 64}…]", "maxLength", "a" * 65,
        f"attributes[{'a' * 64}…] must have at most 64 characters",
    ),
    "event type of 65 characters": (
        body(events=[EVENT | {"type": "E" * 65}]), "events[0].type", "maxLength", "E" * 65,
        "type must have at most 64 characters",
    ),
    "string of 4,097 characters": (
        body(attributes={"x": "y" * 4097}), "attributes[x]", "maxLength", "y" * 256 + "…",
        "attributes[x] must have at most 4096 characters",
    ),
    "end too far ahead, by a nanosecond": (
        body(sessionEndTime="2026-03-05T05:06:07.890123001Z"),
        "sessionEndTime", "maxFuture", "2026-03-05T05:06:07.890123001Z",
        "sessionEndTime must be at most 24 hours in the future",
    ),
    "end in the last year there is": (
        body(sessionEndTime="9999-12-31T23:59:59Z"), "sessionEndTime", "maxFuture", "9999-12-31T23:59:59Z",
        "sessionEndTime must be at most 24 hours in the future",
    ),
    "event too far ahead": (
        body(events=[EVENT | {"time": "2099-01-01T00:00:00Z"}]), "events[0].time", "maxFuture", "2099-01-01T00:00:00Z",
        "time must be at most 24 hours in the future",
    ),
    "event of a type that is not declared too long ago": (
        body(events=[EVENT | {"type": "Zork", "time": "1970-01-01T00:00:00Z"}]), "events[0].time", "maxPast",
        "1970-01-01T00:00:00Z", "time must be at most 400 days in the past",
    ),
    "span begins too long ago": (
        body(spans=[SPAN | {"startTime": "1970-01-01T00:00:00Z"}]), "spans[0].startTime", "maxPast",
        "1970-01-01T00:00:00Z", "startTime must be at most 400 days in the past",
    ),
    "span ends too far ahead": (
        body(spans=[SPAN | {"endTime": "2099-01-01T00:00:00Z"}]), "spans[0].endTime", "maxFuture",
        "2099-01-01T00:00:00Z", "endTime must be at most 24 hours in the future",
    ),
    "start too long ago": (
        body(sessionStartTime="2025-01-28T05:06:07Z"), "sessionStartTime", "maxPast", "2025-01-28T05:06:07Z",
        "sessionStartTime must be at most 400 days in the past",
    ),
    "NUL in an attribute": (
        body(attributes={"x": "a\0b"}), "attributes[x]", "text", "a\0b",
        "attributes[x] must not contain NUL or half a surrogate pair",
    ),
    "half a surrogate pair in an attribute that is not declared": (
        body(attributes={"zork": "\ud83d"}), "attributes[zork]", "text", "\ud83d",
        "attributes[zork] must not contain NUL or half a surrogate pair",
    ),
    "half a surrogate pair in an event's type": (
        body(events=[EVENT | {"type": "\udc00"}]), "events[0].type", "text", "\udc00",
        "type must not contain NUL or half a surrogate pair",
    ),
    "names that differ in case only": (
        body(attributes={"note": "x", "NOTE": "y"}), "attributes[NOTE]", "caseConflict", "NOTE",
        "attributes[NOTE] must differ from attributes[note] in more than case",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_in_the_words_that_clients_know(name: str) -> None:
    sent, key, type, value, message = FAULTS[name]
    expected = {"key": key, "type": type, "message": message} | ({} if value is ... else {"invalidValue": value})
    assert faults(sent) == [expected]


def raw(text: str, member: str = "attributes") -> bytes:
    """An accepted session with one member written as it stands."""
    return json.dumps(body()).encode()[:-1] + f',"{member}":{text}}}'.encode()


@pytest.mark.parametrize(
    ("text", "key", "type", "value"),
    [
        ('{"x":9223372036854775808}', "attributes[x]", "range", "9223372036854775808"),
        ('{"x":-9223372036854775809}', "attributes[x]", "range", "-9223372036854775809"),
        ('{"x":%s}' % ("9" * 5000), "attributes[x]", "range", "9" * 256 + "…"),
        ('{"x":1e999}', "attributes[x]", "range", "1e999"),
        ('{"x":-1E+400}', "attributes[x]", "range", "-1E+400"),
        ('{"x":1,"x":2}', "attributes[x]", "duplicate", "x"),
        ('{"x":1,"\\u0078":2}', "attributes[x]", "duplicate", "x"),
    ],
)
def test_what_storage_cannot_hold_is_refused(text: str, key: str, type: str, value: object) -> None:
    (fault,) = faults(raw(text))
    assert (fault["key"], fault["type"], fault["invalidValue"]) == (key, type, value)


def test_a_member_given_twice_is_refused_wherever_it_stands() -> None:
    twice = f'[{{"type":"Notice","type":"Other","time":"{EVENT["time"]}"}}]'
    assert [fault["key"] for fault in faults(raw('"tool"', "applicationId"))] == ["applicationId"]
    assert [fault["key"] for fault in faults(raw(twice, "events"))] == ["events[0].type"]


NOT_VALID: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "EOF"),
    "blanks": (b" \r\n\t", "EOF"),
    "cut off": (b"{", "unexpected EOF"),
    "cut off in a string": (b'{"sessionId":"1111', "unexpected EOF"),
    "cut off in a literal": (b'{"a":tru', "Expecting value at line 1"),
    "two values": (json.dumps(body()).encode() + b"{}", "Extra data at line 1"),
    "an array": (b"[]", "a session must be an object, got an array"),
    "null": (b"null", "a session must be an object, got null"),
    "a number too long to read": (b"9" * 5000, "a session must be an object, got a number"),
    "unknown member": (b'{"blah":1}', 'unknown field "blah"'),
    "unknown member of an event": (json.dumps(body(events=[EVENT | {"blah": 1}])).encode(), 'unknown field "blah"'),
    "member in another case": (b'{"SessionID":1}', 'unknown field "SessionID"'),
    "the server's own member": (json.dumps(body(undeclared=[])).encode(), 'unknown field "undeclared"'),
    "id a number": (b'{"sessionId":1}', "sessionId must be a string, got a number"),
    "id a huge number": (b'{"sessionId":1e999}', "sessionId must be a string, got a number"),
    "version an object": (raw("{}", "applicationVersion"), "applicationVersion must be a string, got an object"),
    "attributes an array": (raw("[]"), "attributes must be an object, got an array"),
    "attributes false": (raw("false"), "attributes must be an object, got a boolean"),
    "events an object": (raw("{}", "events"), "events must be an array, got an object"),
    "an event a string": (raw('["x"]', "events"), "events[0] must be an object, got a string"),
    "a span's attributes a string": (
        json.dumps(body(spans=[SPAN | {"attributes": "x"}])).encode(),
        "spans[0].attributes must be an object, got a string",
    ),
    "NaN": (raw('{"x":NaN}'), "NaN is not JSON"),
    "-Infinity": (raw('{"x":-Infinity}'), "-Infinity is not JSON"),
    "single quotes": (b"{'a':1}", "Expecting property name enclosed in double quotes at line 1"),
    "a comment": (b"{/**/}", "Expecting property name enclosed in double quotes at line 1"),
    "a raw newline in a string": (raw('{"x":"a\nb"}'), "Invalid control character at at line 1"),
    "a leading zero": (raw('{"x":01}'), "Expecting ',' delimiter at line 1"),
    "digits of another script": (raw('{"x":\u0661}'), "Expecting value at line 1"),
    "byte-order mark": (b"\xef\xbb\xbf{}", "Expecting value at line 1"),
    "UTF-16": ("{}".encode("utf-16"), "not UTF-8 at byte 0"),
    "UTF-16 without a mark": ("{}".encode("utf-16-le"), "Expecting property name enclosed in double quotes at"),
    "invalid UTF-8": (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
    "overlong UTF-8": (b'{"a":"\xc0\xaf"}', "not UTF-8 at byte 6"),
    "a surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', "not UTF-8 at byte 6"),
    "100,000 arrays deep": (b"[" * 100_000, "nested too deeply"),
    "100,000 objects deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    "gzip in gzip": (b"\x1f\x8b\x08\x00", "not UTF-8 at byte 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_VALID)
def test_a_body_that_does_not_parse_is_refused_with_the_reason(name: str) -> None:
    sent, why = NOT_VALID[name]
    error = refused(sent)
    assert error.faults is None
    assert error.message.startswith(f"Request body is not valid: {why}")


@pytest.mark.parametrize(
    "time",
    [
        "yesterday", "2026-03-04", "2026-03-04T01:02:03", "2026-03-04 01:02:03Z", "2026-03-04T01:02:03.Z",
        "2026-03-04T01:02:03.1234567890Z", "2026-03-04T01:02:03,5Z", "2026-02-30T01:02:03Z", "2026-13-01T01:02:03Z",
        "2026-03-04T24:00:00Z", "2026-03-04T23:59:61Z", "2026-03-04T23:60:60Z", "2026-03-04T01:60:00Z",
        "2026-03-04T01:02:03+24:00",
        "2026-03-04T01:02:03+01:60", "2026-03-04T01:02:03+0100", "2026-03-04T01:02:03Z\n", " 2026-03-04T01:02:03Z",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "20260304T010203Z",
        "2026-W10-3T01:02:03Z", "\u0662026-03-04T01:02:03Z", "2026-3-4T01:02:03Z", "+2026-03-04T01:02:03Z",
        "2026-03-04T01:02Z",
    ],
)  # fmt: skip
def test_a_time_that_is_none_does_not_parse(time: str) -> None:
    assert canonical_time(time) is None
    for member in ("sessionStartTime", "sessionEndTime", "ingestionTime"):
        error = refused(body(**{member: time}))
        assert error.message.startswith(f"Request body is not valid: {member} must be an RFC 3339 time")


@pytest.mark.parametrize("time", ["2026-03-03T23:59:60Z", "2026-03-04t01:29:60.5+01:30"])
def test_a_leap_second_is_refused_as_what_it_is(time: str) -> None:
    error = refused(body(sessionStartTime=time))
    assert error.message.startswith("Request body is not valid: sessionStartTime is a leap second, which cannot be")


@pytest.mark.parametrize(
    ("time", "canonical"),
    [
        ("2026-03-04T01:02:03Z", "2026-03-04T01:02:03.000000000"),
        ("2026-03-04T01:02:03.1Z", "2026-03-04T01:02:03.100000000"),
        ("2026-03-04t01:02:03.123456789z", "2026-03-04T01:02:03.123456789"),
        ("2026-03-01T00:30:00.999999999+01:00", "2026-02-28T23:30:00.999999999"),
        ("2025-12-31T23:59:59-00:01", "2026-01-01T00:00:59.000000000"),
        ("2026-03-04T01:02:03-00:00", "2026-03-04T01:02:03.000000000"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000000"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000000"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999"),
    ],
)
def test_a_time_is_brought_to_utc_with_all_its_digits(time: str, canonical: str) -> None:
    assert canonical_time(time) == canonical


@pytest.mark.parametrize(
    "version",
    ["1", "1.0", "1.0.0", "1.0.0-pre.1", "1.0.0+build.2", "1.0.0-pre+build", "01.02.03", "1.0.0-a-b.1+c-d.2"],
)
def test_a_version_is_accepted(version: str) -> None:
    assert stored(body(applicationVersion=version))["applicationVersion"] == version


@pytest.mark.parametrize(
    "version",
    [
        "1.", "1.0.", "1.2.3.4", "a", ".1", "1-pre", "1.2-pre", "1.2.3-", "1.2.3+", "1..2", "1.0.0\n", "1.0.0-/../",
        "1.0.0-a b", "1.0.0-\u00e9", "\u0661.0", "v1.0.0", " 1.0.0", "1.0.0+a+b",
    ],
)  # fmt: skip
def test_a_malformed_version_is_refused(version: str) -> None:
    (fault,) = faults(body(applicationVersion=version))
    assert fault == {
        "key": "applicationVersion",
        "type": "version",
        "invalidValue": version,
        "message": "applicationVersion must be a valid version",
    }


def test_a_retired_application_is_told_so_whatever_else_is_wrong() -> None:
    assert refused({"applicationId": "old"}).retired


def test_limits_are_met_exactly() -> None:
    whole = body(
        attributes={f"{'a' * 61}{number:03}": "y" * 4096 for number in range(200)},
        events=[EVENT | {"type": "E" * 64}] * 1000,
        spans=[SPAN] * 1000,
        sessionStartTime=timestamp(NOW + timedelta(hours=24)),
        sessionEndTime=timestamp(NOW + timedelta(hours=24)),
    )
    assert len(stored(whole)["spans"]) == 1000
    assert read(body(sessionStartTime=timestamp(NOW - timedelta(days=400))))


def test_the_first_twenty_faults_are_listed_and_all_are_counted() -> None:
    many = [EVENT | {"attributes": {str(number): [] for number in range(200)}}] * 900
    error = refused(body(events=many))
    assert len(error.faults or ()) == 20
    assert error.count == 900 * 200 * 2, "a name and a value each"


@pytest.mark.parametrize(
    "value",
    ["\U0001f389" * 4097, ["\ud83c" * 4096] * 9, {"\0" * 99: "\0" * 99}, {"a" * 9: {"b": ["\U0001f389" * 300] * 8}}],
)
def test_an_invalid_value_is_echoed_in_few_bytes(value: Any) -> None:
    deep: Any = value
    for _ in range(50):
        deep = [deep] * 2 if len(json.dumps(deep)) < 100_000 else {"a": deep}
    for sent in (value, deep):
        found = refused(body(attributes={"x": sent}, events=[EVENT | {"attributes": {"y": sent}}])).faults or []
        assert found
        assert all(len(json.dumps(fault)) < 2_000 for fault in found)


def test_paths_of_undeclared_members_are_kept_up_to_a_limit() -> None:
    many = [EVENT | {"attributes": {f"a{number}": 1 for number in range(at, at + 200)}} for at in range(0, 2000, 200)]
    paths = stored(body(events=many))["undeclared"]
    assert len(paths) == 1000
    assert paths == sorted(f"events.Notice.attributes.a{number}" for number in range(2000))[:1000]


# A few of each kind, not all of Unicode: Hypothesis needs seconds to learn that in a fresh checkout.
STORABLE = 'aZ09 ._-/\\"\n\r\t\x01\x1f\x7f\x85\xa0\u00e9\u0661\u2028\ufeff\ufffd\uffff\U0001f389'
CHARACTERS = st.sampled_from(STORABLE + "\0\ud83d\udc00")
NAMES = st.one_of(
    st.sampled_from(["osName", "osVersion", "note", "exitCode", "load", "fast", "installed", "gone", "zork"]),
    st.text(string.ascii_letters + string.digits, min_size=1, max_size=70),
    st.text(CHARACTERS, max_size=5),
)
TIMES = st.one_of(
    st.datetimes(min_value=datetime(2025, 6, 1), max_value=datetime(2026, 3, 4)).map(lambda t: t.isoformat() + "Z"),
    st.builds(
        "2026-{:02}-{:02}T{:02}:{:02}:02{}{}".format,
        st.integers(0, 13),
        st.integers(0, 32),
        st.integers(0, 24),
        st.integers(0, 60),
        st.sampled_from(["", ".", ".1", ".123456789", ".1234567890"]),
        st.sampled_from(["Z", "z", "", "+01:00", "-23:59", "+24:00"]),
    ),
    st.text(CHARACTERS, max_size=30),
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(CHARACTERS, max_size=10), TIMES,
    st.just("Linux"), st.just([]),
)  # fmt: skip
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=6)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["Notice", "Bar", ""]), "time": TIMES, "attributes": ATTRIBUTES}
)
SPANS = st.fixed_dictionaries(
    {"type": st.sampled_from(["Load", "Baz"]), "startTime": TIMES, "endTime": TIMES, "attributes": ATTRIBUTES}
)
GOOD_TIMES = st.datetimes(min_value=datetime(2025, 6, 1), max_value=datetime(2026, 3, 4)).map(
    lambda t: t.isoformat(timespec="microseconds") + "Z"
)
GOOD_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.sampled_from(STORABLE), max_size=10), GOOD_TIMES, st.just("Linux"),
)  # fmt: skip
GOOD_NAMES = st.sampled_from(["osName", "osVersion", "note", "exitCode", "load", "fast", "installed", "zork"])
GOOD_SESSIONS = st.fixed_dictionaries(
    {
        "sessionStartTime": GOOD_TIMES,
        "sessionEndTime": st.just("2026-03-04T05:00:00.123456789+01:00"),
        "attributes": st.dictionaries(GOOD_NAMES, GOOD_VALUES, max_size=7),
        "events": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["Notice", "Bar"]),
                    "time": GOOD_TIMES,
                    "attributes": st.dictionaries(st.sampled_from(["version", "zork"]), GOOD_VALUES),
                }
            ),
            max_size=3,
        ),
        "spans": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.just("Load"),
                    "startTime": st.just("2026-03-04T01:02:03.000000001Z"),
                    "endTime": GOOD_TIMES.map(lambda _: "2026-03-04T01:02:03.000000002Z"),
                    "attributes": st.dictionaries(st.sampled_from(["count", "zork"]), GOOD_VALUES),
                }
            ),
            max_size=3,
        ),
    }
)


@given(st.lists(GOOD_SESSIONS, min_size=1, max_size=3))
@example([{"sessionStartTime": "2026-03-04T01:02:03Z", "attributes": {"load": 1e16, "note": '\x85\u2028\x7f\\"'}}])
@example([{"sessionStartTime": "2026-03-04T01:02:03Z", "attributes": {"load": 5e-324}}])
@example([{"sessionStartTime": "2026-03-04T01:02:03Z", "attributes": {"installed": "0001-01-01T00:00:00Z"}}])
def test_stored_lines_join_and_parse_into_as_many_rows(sessions: list[dict[str, Any]]) -> None:
    lines = [read(body(**session)).line(timestamp(NOW)) for session in sessions]
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
    parsed = table(b"".join(lines))
    assert parsed.num_rows == len(lines)
    for row, line in zip(parsed.to_pylist(), lines, strict=True):
        sent = json.loads(line)
        for name, value in sent["attributes"].items():
            if name != "installed":
                assert row["attributes"][name] == value


@given(GOOD_SESSIONS)
def test_the_canonical_line_is_its_own_canonical_line(session: dict[str, Any]) -> None:
    once = stored(body(**session))
    del once["undeclared"]
    again = stored(once)
    assert again.pop("undeclared") == []
    assert again == once


@given(
    st.one_of(
        st.binary(max_size=60),
        st.fixed_dictionaries(
            {},
            optional={
                "sessionId": st.one_of(st.just(ID), VALUES),
                "userId": st.one_of(st.just(USER), VALUES),
                "sessionStartTime": st.one_of(TIMES, VALUES),
                "sessionEndTime": st.one_of(TIMES, VALUES),
                "ingestionTime": st.one_of(TIMES, VALUES),
                "applicationId": st.one_of(st.just("tool"), VALUES),
                "applicationVersion": st.one_of(st.just("1"), VALUES),
                "attributes": st.one_of(ATTRIBUTES, VALUES),
                "events": st.one_of(st.lists(st.one_of(EVENTS, VALUES), max_size=3), VALUES),
                "spans": st.one_of(st.lists(st.one_of(SPANS, VALUES), max_size=3), VALUES),
                "blah": VALUES,
            },
        ).map(lambda sent: json.dumps(sent).encode()),
    )
)
def test_whatever_comes_in_is_either_read_or_refused(sent: bytes) -> None:
    try:
        session = read(sent)
    except SessionError as error:
        # What is refused can be answered: the faults are JSON.
        json.dumps(error.faults, allow_nan=False).encode()
    else:
        assert table(session.line(timestamp(NOW))).num_rows == 1
