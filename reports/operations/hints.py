"""What pages are missing, and what they leave out, each with the command or registry line that helps. Faults of the
bucket are in `reports/operations/status.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from obstore.store import ObjectStore

from ingest.function.registry import Application, Field, Kind
from ingest.function.roles import ROLES
from reports.blocks.format import inert, plural, some
from reports.operations import undeclared
from reports.operations.sent import Sent, last_sent, people
from reports.operations.suspects import suspects
from reports.operations.undeclared import LeftOut
from reports.pages.placeholder import lines
from reports.pages.registry_page import Uses
from reports.query.snapshot import PROBE
from reports.storage import exclude
from reports.storage.objects import objects

__all__ = ["Hint", "declared", "hints", "readers"]

# An attribute that no session of so many days has is no longer sent. Members that were left out earlier are no longer a
# problem.
RECENT = timedelta(days=30)
# Right values for so long say that a wrong type was corrected. At once, they only say that two versions differ.
SETTLED = timedelta(days=1)
MOST_VERSIONS = 5


@dataclass(frozen=True)
class Hint:
    """A hint. `topic` is its kind, and `about` the path, the role or the exclusion.

    `remedy` is the fix. `what` contains the numbers `sessions`, `people` and `versions`.
    """

    topic: str
    application: str
    about: str
    what: str
    remedy: str
    sessions: int | None = None
    people: int | None = None
    versions: list[str] = field(default_factory=list)


def hints(
    store: ObjectStore,
    bucket: str,
    registry: Mapping[str, Application],
    *,
    minimum: int,
    used: Uses | None = None,
    public: bool = False,
) -> list[Hint]:
    """All hints of a bucket, by topic. `used` says which pages read which names, if that is known. With `public`, the
    hints have no counts and no names that clients chose.
    """
    registry = {id: one for id, one in registry.items() if id != PROBE}
    last = {id: last_sent(store, bucket, one) for id, one in registry.items()}
    amount = some if public else plural
    excluded = exclude.exclusions(store)
    left_out = undeclared.paths(store, bucket, registry)
    found = [*_releases(store, registry, last, used)]
    for id, one in registry.items():
        if last[id].newest is not None and (there := people(store, bucket, one, excluded, minimum)) < minimum:
            so_far = "" if public else f", {there} so far"
            what = f"readers see no numbers before there are {minimum} people{so_far}"
            found.append(Hint("people", id, "", what, "see the pages with `abaculus serve --private`", people=there))
    found += (roles := [*_roles(registry, last, used)])
    for id, one in registry.items():
        wrong = [*_left_out(one, left_out.get(id, {}), last[id], public)]
        waited = {hint.about for hint in roles if hint.application == id}
        said = {f"attributes.{field.name}" for field in one.attributes.values() if field.role in waited}
        found += [*wrong, *_unsent(one, last[id], public, said | {hint.about for hint in wrong})]
    for id, suspect in suspects(store, bucket, registry).items():
        parts = {"session": suspect.sessions, "event": suspect.events, "span": suspect.spans}
        counted = ", ".join(amount(count, part) for part, count in parts.items() if count)
        what = f"{counted} with a time far from the arrival of the session; in the table, but in no view"
        remedy = "nothing to do: the clocks of these computers were wrong"
        found.append(Hint("clock", id, "", what, remedy, suspect.sessions))
    for exclusion in excluded:
        count = exclude.count(store, bucket, registry, exclusion)[0]
        remedy = f"`abaculus exclude --remove {exclusion.name}` brings them back"
        found.append(
            Hint(
                "excluded", exclusion.application or "all", exclusion.name,
                f"{amount(count, 'session')} in no view", remedy, count,
            )
        )  # fmt: skip
    return found


def _releases(
    store: ObjectStore, registry: Mapping[str, Application], last: Mapping[str, Sent], used: Uses | None
) -> Iterator[Hint]:
    """Applications that have sessions and no known release, if any page reads releases."""
    known = {key.rpartition("/")[2].removesuffix(".json") for key, _ in objects(store, "releases/", ".json")}
    for id, application in registry.items():
        if id not in known and last[id].newest is not None and (used is None or readers(used, "releases")):
            command = f"`abaculus releases {id}"
            other = '`, or `repository = "https://…"` in its registry file'
            remedy = f"{command}`" if application.repository else f"{command} FILE-OR-URL{other}"
            yield Hint("releases", id, "", f"no release is known{_read_by(used, 'releases')}", remedy)


def readers(used: Uses | None, *names: str | None) -> list[str]:
    """The titles of the pages that read one of these names."""
    said = [one for name in names if name for one in (name.lower(), f"'{name.lower()}'")]
    return sorted({title for name in said if used for _, title in used.get(name, ())})


def _read_by(used: Uses | None, name: str) -> str:
    titles = readers(used, name)
    more = f" and {len(titles) - 3} more" if len(titles) > 3 else ""
    return f", read by {', '.join(titles[:3])}{more}" if titles else ""


def _roles(registry: Mapping[str, Application], last: Mapping[str, Sent], used: Uses | None) -> Iterator[Hint]:
    """Roles that pages read and nobody sends. Any application may send what a page reads."""
    for role in ROLES:
        if not (read := _read_by(used, role)):
            continue
        held = [(id, one.name) for id, of in registry.items() for one in of.with_role(role) if one.current]
        if not held:
            yield Hint("role", "all", role, f"no attribute has it{read}", lines(role))
        elif any(one.newest for one in last.values()) and not any(last[id].attributes[name] for id, name in held):
            id, name = held[0]
            yield Hint("role", id, role, f"no session has it{read}", f"let the tool send `attributes.{name}`")


def _left_out(application: Application, paths: Mapping[str, LeftOut], last: Sent, public: bool) -> Iterator[Hint]:
    """Values of another type, and undeclared members, with the versions of the tool that send them."""
    unnamed = False
    for path, one in paths.items():
        if not _recent(one.last, last.newest):
            continue
        found = declared(application, path)
        # Senders choose versions and undeclared names.
        versions = [] if public else list(map(inert, one.versions[-MOST_VERSIONS:]))
        of = f"{'versions' if len(versions) > 1 else 'version'} {', '.join(versions)}"
        sent = "" if public else f" in {plural(one.sessions, 'session')} of {of}"
        if found is None:
            unnamed = unnamed or public
            topic, what, remedy = "left out", f"not declared{sent}", "`abaculus registry suggest` prints TOML"
        elif found.removed:
            topic, what = "left out", f"removed, and still sent{sent}"
            remedy = "nothing to do while people use older versions; without `removed = true` it is stored again"
        elif isinstance(found, Kind):
            topic, what = "left out", f"not known to the function{sent}"
            remedy = "deploy the function with this registry, if you have not done so since"
        else:
            came = last.attributes.get(found.name) if path == f"attributes.{found.name}" else None
            if came is not None and came > one.last + SETTLED:
                continue  # the tool or the function was corrected
            topic, what = "type", f"sent with another type than {found.type}{sent}"
            remedy = (
                f'let the tool send `type = "{found.type}"`, or deploy the function if it did not know this type yet'
            )
        if found is not None or not public:
            yield Hint(topic, application.id, inert(path), what, remedy, one.sessions, versions=versions)
    if unnamed:
        remedy = "`abaculus registry suggest`, where nobody else reads the output"
        yield Hint("left out", application.id, "", "some fields are not declared", remedy)


def declared(application: Application, path: str) -> Field | Kind | None:
    """The registry's entry for a path such as `events.Opened.attributes.how`. For a removed type, the type."""
    kind = application.declared.get(path.rpartition(".attributes.")[0])
    return kind if isinstance(kind, Kind) and kind.removed else application.declared.get(path)


def _unsent(application: Application, last: Sent, public: bool, said: set[str]) -> Iterator[Hint]:
    """Current attributes that no session has, or no session of the last 30 days, except those that a hint names
    already.
    """
    for name, time in last.attributes.items():
        about = f"attributes.{name}"
        if last.newest is None or about in said or _recent(time, last.newest):
            continue
        if time is None:
            yield Hint("not sent", application.id, about, "no session has it", "let the tool send it, or remove it")
        else:
            day = "" if public else f"; the last arrived on {time:%Y-%m-%d}"
            what = f"in no session of the last {plural(RECENT.days, 'day')}{day}"
            remedy = f"write `removed = true` under `[{about}]`, if no version of the tool sends it now"
            yield Hint("not sent", application.id, about, what, remedy)


def _recent(time: datetime | None, newest: datetime | None) -> bool:
    return time is not None and newest is not None and time > newest - RECENT
