"""The format of a session: turns the body from a client into the stored line.

It is pure: no clock, no files, no network. The page about the HTTP interface describes the format. It uses only the
parser of the standard library, for two reasons: clients of Abacus know the exact texts of faults, and a function that
starts for one request should not load a validation library.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from ingest.function.document import SessionError, Twice, Unstorable, document, echo, json_type, not_valid, short
from ingest.function.registry import Application, Field, Kind
from ingest.function.settings import Settings

__all__ = ["OTHER", "Session", "SessionError", "canonical_time", "parse", "timestamp", "written"]

OTHER = "(other)"  # the stored text for a string that the registry does not allow

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
VERSION = re.compile(r"[0-9]+(\.[0-9]+(\.[0-9]+(-[A-Za-z0-9.-]+)?(\+[A-Za-z0-9.-]+)?)?)?")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII | re.IGNORECASE,
)
LEAP = re.compile(r"(?<=T\d\d:[0-5]\d):60", re.ASCII | re.IGNORECASE)
NO_TIME = "0001-01-01T00:00:00.000000000"  # the zero time of Go, which Abacus treats as a missing member

SCALARS = frozenset({str, int, float, bool, type(None)})
NOT_TEXT = "must not contain NUL or half a surrogate pair"

SESSION = frozenset(
    {
        "sessionId", "userId", "sessionStartTime", "sessionEndTime", "ingestionTime", "applicationId",
        "applicationVersion", "attributes", "events", "spans",
    }
)  # fmt: skip
EVENT = frozenset({"type", "time", "attributes"})
SPAN = frozenset({"type", "startTime", "endTime", "attributes"})

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))

_NOT_DECLARED: Mapping[str, Field] = {}


@dataclass(frozen=True, slots=True)
class Session:
    """A checked session, as the two parts of its stored line, before and after `ingestionTime`."""

    id: str
    application: str
    start: str  # UTC, microseconds: 2026-01-02T03:04:05.678901Z
    head: bytes
    tail: bytes

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return len(self.head) + len(self.tail)

    def line(self, ingestion: str) -> bytes:
        """The stored line, with its newline. `ingestion` is the server's time from `timestamp`."""
        return b'%b,"ingestionTime":"%b"%b\n' % (self.head, ingestion.encode(), self.tail)


def parse(body: bytes, registry: Mapping[str, Application], now: datetime, settings: Settings) -> Session:
    """The session in a request body. `now` is in UTC. Raises `SessionError`, whatever the bytes."""
    sent = document(body)
    # Only an escape can contain what UTF-8 and the parser refuse: NUL and halves of surrogate pairs.
    check = _Checker(settings, now, escapes=b"\\u" in body)
    named = sent.get("applicationId")
    application = registry.get(named) if type(named) is str else None
    if application is not None and application.retired:
        raise SessionError(f"application {application.id!r} is retired and accepts no more sessions", retired=True)
    return check.session(sent, application)


def timestamp(moment: datetime) -> str:
    """A time in UTC, in the form of stored lines."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def canonical_time(text: str) -> str | None:
    """An RFC 3339 time in UTC with nine digits and without its Z, so that times compare as text. None if it is
    invalid.
    """
    match = TIME.fullmatch(text)
    if match is None or not _is_date(text[:10]):
        return None
    seconds, fraction, sign, hours, minutes = match.groups()
    if sign is not None:
        shift = timedelta(hours=int(hours), minutes=int(minutes))
        try:
            moment = datetime.fromisoformat(seconds)
            seconds = (moment - shift if sign == "+" else moment + shift).isoformat()
        except OverflowError:
            return None
    return f"{seconds.upper()}.{(fraction or '').ljust(9, '0')}"


def _canonical(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='microseconds')[:26]}000"


def _why_no_time(text: str) -> str:
    """What is wrong with a time that `canonical_time` refuses."""
    if LEAP.search(text) and canonical_time(LEAP.sub(":59", text)) is not None:
        return "is a leap second, which cannot be stored; send the second before it"
    return "must be an RFC 3339 time with a zone and at most nine fractional digits"


@lru_cache(maxsize=1024)
def _is_date(text: str) -> bool:
    """Whether the day exists, unlike 30 February. Most times are of the last few days."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


class _Checker:
    """Checks one session and collects its faults, so that the author of the client sees all at once."""

    def __init__(self, settings: Settings, now: datetime, *, escapes: bool) -> None:
        self.settings = settings
        self.escapes = escapes
        self.earliest = _canonical(now - timedelta(days=settings.past_days))
        self.latest = _canonical(now + timedelta(hours=settings.future_hours))
        self.faults: list[dict[str, Any]] = []
        self.count = 0  # of all faults
        self.undeclared: set[str] = set()

    def fault(self, at: str, member: str, type: str, message: str, *value: Any) -> None:
        self.count += 1
        if self.count > self.settings.session_faults:
            return
        entry: dict[str, Any] = {"key": at + member, "type": type}
        if value:
            entry["invalidValue"] = echo(value[0])
        self.faults.append(entry | {"message": f"{member} {message}"})

    def session(self, sent: dict[str, Any], application: Application | None) -> Session:
        self.members(sent, "", SESSION)
        id = self.matching(sent, "sessionId", "uuid4", UUID4, "must be a valid version 4 UUID")
        user = self.matching(sent, "userId", "uuid4", UUID4, "must be a valid version 4 UUID")
        start, end = self.period(sent, "", "sessionStartTime", "sessionEndTime")
        if sent.get("ingestionTime"):
            self.time(sent, "", "ingestionTime", kept=False)
        named = self.text(sent, "", "applicationId")
        if named and application is None:
            self.fault("", "applicationId", "applicationId", "must be a valid application ID", named)
        version = self.matching(sent, "applicationVersion", "version", VERSION, "must be a valid version")
        if len(version) > self.settings.string_length:
            self.too_long("", "applicationVersion", version, self.settings.string_length)
        rest = {
            "applicationId": named,
            "applicationVersion": version,
            "attributes": self.attributes(sent, "", application.attributes if application else _NOT_DECLARED, ""),
            "events": list(self.events(sent, application.events if application else {})),
            "spans": list(self.spans(sent, application.spans if application else {})),
            "undeclared": sorted(self.undeclared)[: self.settings.max_undeclared],
        }
        if self.faults:
            raise SessionError("Request body has validation errors", self.faults, count=self.count)
        start, end = start[:26] + "Z", end[:26] + "Z"
        head = f'{{"sessionId":"{id}","userId":"{user}","sessionStartTime":"{start}","sessionEndTime":"{end}"'
        return Session(id, named, start, head.encode(), b"," + _ENCODER.encode(rest)[1:].encode())

    def members(self, sent: dict[str, Any], at: str, known: frozenset[str]) -> None:
        if not known >= sent.keys():
            name = next(name for name in sent if name not in known)
            raise not_valid(f'unknown field "{short(name)}"')
        if type(sent) is Twice:
            for name in sent.names:
                self.fault(at, name, "duplicate", "must be given only once", name)

    def text(self, sent: dict[str, Any], at: str, member: str) -> str:
        value = sent.get(member)
        if type(value) is str and value:
            return value
        if value not in (None, ""):
            raise not_valid(f"{at}{member} must be a string, got {json_type(value)}")
        self.fault(at, member, "required", "is a required field")
        return ""

    def matching(self, sent: dict[str, Any], member: str, type: str, form: re.Pattern[str], message: str) -> str:
        value = self.text(sent, "", member)
        if value and not form.fullmatch(value):
            self.fault("", member, type, message, value)
        return value

    def time(self, sent: dict[str, Any], at: str, member: str, *, kept: bool = True) -> str:
        """A time from `canonical_time`, or nothing if it is faulty. A time that is not `kept` may have any value."""
        text = sent.get(member)
        time = canonical_time(text) if type(text) is str else None
        if time is None:
            if text := self.text(sent, at, member):
                raise not_valid(f"{at}{member} {_why_no_time(text)}")
        elif time == NO_TIME:
            self.fault(at, member, "required", "is a required field")
        elif kept and time > self.latest:
            what = f"must be at most {self.settings.future_hours} hours in the future"
            self.fault(at, member, "maxFuture", what, text)
        elif kept and time < self.earliest:
            what = f"must be at most {self.settings.past_days} days in the past"
            self.fault(at, member, "maxPast", what, text)
        else:
            return time
        return ""

    def period(self, sent: dict[str, Any], at: str, first: str, last: str) -> tuple[str, str]:
        start, end = self.time(sent, at, first), self.time(sent, at, last)
        if start and end and end < start:
            self.fault(at, last, "gtefield", f"must be greater than or equal to {first}", sent[last])
        return start, end

    def too_long(self, at: str, member: str, value: str, limit: int) -> None:
        self.fault(at, member, "maxLength", f"must have at most {limit} characters", value)

    def type(self, sent: dict[str, Any], at: str) -> str:
        type = self.text(sent, at, "type")
        if len(type) > self.settings.name_length:
            self.too_long(at, "type", type, self.settings.name_length)
        elif self.escapes and not _storable(type):
            self.fault(at, "type", "text", NOT_TEXT, type)
        return type

    def entries(self, sent: dict[str, Any], list_name: str, limit: int) -> Iterator[tuple[str, dict[str, Any]]]:
        entries = sent.get(list_name)
        if entries is None:
            return
        if not isinstance(entries, list):
            raise not_valid(f"{list_name} must be an array, got {json_type(entries)}")
        if len(entries) > limit:
            self.fault("", list_name, "maxItems", f"must have at most {limit} entries", len(entries))
            return
        for index, entry in enumerate(entries):
            if entry is not None and not isinstance(entry, dict):
                raise not_valid(f"{list_name}[{index}] must be an object, got {json_type(entry)}")
            yield f"{list_name}[{index}].", {} if entry is None else entry

    def events(self, sent: dict[str, Any], declared: Mapping[str, Kind]) -> Iterator[dict[str, Any]]:
        for at, event in self.entries(sent, "events", self.settings.max_events):
            self.members(event, at, EVENT)
            type = self.type(event, at)
            time = self.time(event, at, "time")
            attributes = self.kind_attributes(event, at, "events", declared.get(type), type)
            if attributes is not None:
                yield {"type": type, "time": time[:26] + "Z", "attributes": attributes}

    def spans(self, sent: dict[str, Any], declared: Mapping[str, Kind]) -> Iterator[dict[str, Any]]:
        for at, span in self.entries(sent, "spans", self.settings.max_spans):
            self.members(span, at, SPAN)
            type = self.type(span, at)
            start, end = self.period(span, at, "startTime", "endTime")
            attributes = self.kind_attributes(span, at, "spans", declared.get(type), type)
            if attributes is not None:
                times = {"startTime": start[:26] + "Z", "endTime": end[:26] + "Z"}
                yield {"type": type, **times, "attributes": attributes}

    def kind_attributes(
        self, sent: dict[str, Any], at: str, path: str, kind: Kind | None, type: str
    ) -> dict[str, Any] | None:
        """The attributes of an event or span. None if its type is not declared; they are checked anyway."""
        if kind is None or kind.removed:
            self.attributes(sent, at, _NOT_DECLARED, None)
            self.undeclared.add(f"{path}.{type}")
            return None
        return self.attributes(sent, at, kind.attributes, f"{path}.{type}.")

    def attributes(
        self, sent: dict[str, Any], at: str, fields: Mapping[str, Field], path: str | None
    ) -> dict[str, Any]:
        """The declared attributes, ready to be written. The paths of others go to `undeclared`, unless `path` is
        None.
        """
        given = sent.get("attributes")
        if given is None:
            return {}
        if not isinstance(given, dict):
            raise not_valid(f"{at}attributes must be an object, got {json_type(given)}")
        if not given:
            return {}
        if len(given) > (limit := self.settings.max_attributes):
            self.fault(at, "attributes", "maxItems", f"must have at most {limit} entries", len(given))
            return {}
        if not fields.keys() >= given.keys() or type(given) is Twice:
            self.names(given, at, fields)
        length = self.settings.string_length
        written: dict[str, Any] = {}
        for name, value in given.items():
            if type(value) is str:
                if len(value) > length:
                    self.too_long(at, f"attributes[{short(name)}]", value, length)
                elif self.escapes and not _storable(value):
                    self.fault(at, f"attributes[{short(name)}]", "text", NOT_TEXT, value)
            elif type(value) not in SCALARS:
                self.not_scalar(at, name, value)
            declared = fields.get(name)
            if declared is None or declared.removed:
                made = None
            elif value is None:
                written[name] = None
                continue
            else:
                made = written[name] = _WRITE[declared.type](declared, value)
            if made is None and path is not None:
                self.undeclared.add(f"{path}attributes.{name}")
        return written

    def names(self, given: dict[str, Any], at: str, fields: Mapping[str, Field]) -> None:
        # Declared names were checked when the registry was loaded.
        for name in given:
            if name in fields or (NAME.fullmatch(name) and len(name) <= self.settings.name_length):
                continue
            member = f"attributes[{short(name)}]"
            if not name:
                self.fault(at, member, "required", "is a required field")
            elif NAME.fullmatch(name):
                self.too_long(at, member, name, self.settings.name_length)
            else:
                self.fault(at, member, "attributeName", "must have a valid attribute name", name)
        if type(given) is Twice:
            for name in given.names:
                self.fault(at, f"attributes[{short(name)}]", "duplicate", "must be given only once", name)
        if len({name.lower() for name in given}) < len(given):
            # Columns ignore case, so one of the two would be lost.
            seen: dict[str, str] = {}
            for name in given:
                other = seen.setdefault(name.lower(), name)
                if other != name:
                    what = f"must differ from attributes[{short(other)}] in more than case"
                    self.fault(at, f"attributes[{short(name)}]", "caseConflict", what, name)

    def not_scalar(self, at: str, name: str, value: Any) -> None:
        member = f"attributes[{short(name)}]"
        if type(value) is Unstorable:
            self.fault(at, member, "range", "must be a number that fits into 64 bits", value)
        else:
            self.fault(at, member, "attributeValue", "must be a string, integer, boolean or null value", value)


def _storable(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_string(field: Field, value: Any) -> str | None:
    if type(value) is not str:
        return None
    return value if field.allows(value) else OTHER


def _write_integer(field: Field, value: Any) -> int | None:
    if type(value) is int:
        return value
    # In languages with floats only, 4.0 is a whole number.
    return int(value) if type(value) is float and value.is_integer() and -(2.0**63) <= value < 2.0**63 else None


def _write_number(field: Field, value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None


def _write_boolean(field: Field, value: Any) -> bool | None:
    return value if type(value) is bool else None


def _write_timestamp(field: Field, value: Any) -> str | None:
    time = canonical_time(value) if type(value) is str else None
    return None if time is None else time[:26] + "Z"


# How a declared attribute's value is written. None for a value of another type.
_WRITE: dict[str, Callable[[Field, Any], Any]] = {
    "string": _write_string,
    "integer": _write_integer,
    "number": _write_number,
    "boolean": _write_boolean,
    "timestamp": _write_timestamp,
}


def written(field: Field, value: Any) -> Any:
    """The stored form of a declared attribute's value that is not null. None for a value of another type."""
    return _WRITE[field.type](field, value)
