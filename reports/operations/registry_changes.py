"""What a change of the registry does to stored sessions, to clients in the field and to pages."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from obstore.store import ObjectStore

from ingest.function.registry import PROBE, Application, Field, Kind, RegistryError, parse
from reports.storage import table, used_registry

__all__ = ["WORDS", "AgainstError", "Change", "at_commit", "between", "with_tables"]

# Kind of change -> what it is, and what happens to stored sessions, to older versions of the tool, and to pages.
# The page on the registry has the same table.
WORDS: dict[str, tuple[str, str, str, str]] = {
    "new": ("add an attribute, event, span or application", "null", "send nothing",
            "from the first version that sends it"),
    "renamed": ('rename it: new name, `replaces = "oldName"`', "stay as they are",
                "their values are stored under the old name", "one column, under the new name"),
    "removed": ("remove it: `removed = true`", "keep it", "what they send is left out", "history stays"),
    "taken again": ("remove `removed = true`", "keep what they have", "what they send is stored again",
                    "history stays, with a gap"),
    "deleted": ("delete its entry", "keep it, but no view has it",
                "what they send is left out; sessions that have arrived wait in `raw/`", "lose it and its history"),
    "widened": ("change an integer to a number", "become numbers in the next compaction", "are stored",
                "the same series, as numbers"),
    "narrowed": ("change a number to an integer", "keep all values",
                 "values that are not whole become null and are counted", "whole values, and null for the others"),
    "another type": ("change its type otherwise", "keep the old type",
                     "wait in `raw/`: `compact` stops for this application, and for no other",
                     "null until you restore the type or use a new name"),
    "other capitals": ("change only the capitals of its name", "keep the old name",
                       "wait in `raw/`: `compact` stops for this application, and for no other",
                       "null until you restore the name or use another one"),
    "role given": ("give it a role", "stay as they are", "are counted under the role",
                   "the role's column has its history"),
    "role taken": ("remove its role, or give it another", "stay as they are", "are not counted under the old role",
                   "the old role's column loses its history"),
    "fewer values": ("allow other values, or another pattern", "stay as they are",
                     'values that are no longer allowed are stored as "(other)"', "old and new values"),
    "free text": ("remove `values`, `pattern` or `publish`", "stay as they are", "any text is stored",
                  'no labels: "(free text)", also for history'),
    "published": ("publish free text, or give it `values` or a `pattern`", "stay as they are",
                  "only allowed values are stored as sent",
                  "stored text becomes labels, including values that are not allowed now"),
    "shorter retention": ("shorten `retention_days`", "the next run deletes older ones", "send on",
                          "begin later"),
    "retired": ("set `retired = true`", "stay until they expire", "delete their queue and stop", "history stays"),
    "no file": ("delete the file of an application", "stay, and never expire",
                "are refused; sessions that have arrived wait in `raw/`", "do not show it any more"),
}  # fmt: skip
REFUSED = frozenset({"another type", "other capitals"})
LOST = frozenset({"deleted", "narrowed", "role taken", "free text", "shorter retention", "no file"})


class AgainstError(Exception):
    """The reason why the registry cannot be compared with something."""


@dataclass(frozen=True)
class Change:
    """One change at a path, and its effects. `refused` means that compaction would stop, `lost` that pages or tables
    lose data.
    """

    application: str
    path: str
    kind: str
    detail: str
    refused: bool
    lost: bool
    stored: str
    clients: str
    pages: str


def _change(application: Application, path: str, kind: str, detail: str = "") -> Change:
    _, *effects = WORDS[kind]
    return Change(application.id, path, kind, detail, kind in REFUSED, kind in LOST, *effects)


def between(old: Mapping[str, Application], new: Mapping[str, Application]) -> list[Change]:
    """What changes from one registry to another."""
    found = [_change(one, "", "no file") for id, one in old.items() if id not in new]
    for id, one in new.items():
        found += [_change(one, "", "new")] if id not in old else _between(old[id], one)
    return found


def _between(old: Application, new: Application) -> Iterator[Change]:
    yield from _types(table.schema(old), new)
    if new.retention_days < old.retention_days:
        yield _change(new, "retention_days", "shorter retention", f"{old.retention_days} to {new.retention_days}")
    if new.retired and not old.retired:
        yield _change(new, "retired", "retired")
    before, after = old.declared, new.declared
    folded = {_folded(path, one): path for path, one in before.items()}
    for path, one in after.items():
        if isinstance(one, Field) and one.replaced_by is not None:
            continue  # its successor says it
        was = before.get(path)
        former = f"{path.rpartition('.')[0]}.{one.replaces}" if isinstance(one, Field) and one.replaces else None
        if was is not None:
            if one.removed != was.removed:
                yield _change(new, path, "removed" if one.removed else "taken again")
            yield from _entry(new, path, was, one)
        elif former in before:
            yield _change(new, path, "renamed", f"from {one.replaces}" if isinstance(one, Field) else "")
            yield from _entry(new, path, before[former], one)
        elif _folded(path, one) not in folded and not one.removed:
            yield _change(new, path, "new")
    there = {_folded(path, one) for path, one in after.items()}
    columns = {_column(path) for path, one in after.items() if isinstance(one, Field)}
    for path, one in before.items():
        if _folded(path, one) in there:
            continue
        # Rows of events and spans stay in their views. So do attributes of the same name in another type.
        stays = _column(path) in columns if isinstance(one, Field) else True
        yield _change(new, path, "removed" if stays else "deleted", "its entry is gone" if stays else "")
        if one.role is not None and stays:
            yield _change(new, path, "role taken", one.role)


def _folded(path: str, one: Field | Kind) -> str:
    """A path for comparisons. Columns ignore case, but types of events do not."""
    head, _, name = path.rpartition(".")
    return f"{head}.{name.lower()}" if isinstance(one, Field) else path


def _column(path: str) -> str:
    """The column that an attribute has in its view."""
    return f"{path.partition('.')[0]}.{path.rpartition('.')[2].lower()}"


def _entry(application: Application, path: str, old: Field | Kind, new: Field | Kind) -> Iterator[Change]:
    """What changes in an entry, except its type."""
    if new.role != old.role:
        if old.role is not None:
            yield _change(application, path, "role taken", f"{old.role} to {new.role or 'none'}")
        if new.role is not None:
            yield _change(application, path, "role given", new.role)
    if not isinstance(old, Field) or not isinstance(new, Field) or {old.type, new.type} != {"string"}:
        return
    if old.free_text != new.free_text:
        yield _change(application, path, "free text" if new.free_text else "published")
    gone = set(old.values or ()) - set(new.values or ())
    if new.values is not None and (gone or old.values is None):
        yield _change(application, path, "fewer values", f"no longer {', '.join(sorted(gone))}" if gone else "")
    elif new.pattern is not None and new.pattern != old.pattern:
        yield _change(application, path, "fewer values", f"now {new.pattern}")


def _types(there: pa.Schema, application: Application) -> Iterator[Change]:
    """Columns with a type or name that no longer fits the registry, or fits in another way."""
    for path, name, old, new in table.differences(there, application):
        detail = f"{table.named(old)} to {table.named(new)}"
        if name != path.rpartition(".")[2]:
            yield _change(application, path, "other capitals", f"{name} in the table")
        elif {old, new} != table.NUMBERS:
            yield _change(application, path, "another type", detail)
        else:
            yield _change(application, path, "widened" if old == table.ARROW["integer"] else "narrowed", detail)


def with_tables(store: ObjectStore, bucket: str, registry: Mapping[str, Application]) -> list[Change]:
    """What the registry changes since the last compaction of a bucket, and what its tables would refuse."""
    found: list[Change] = []
    for id, one in registry.items():
        if id == PROBE.id:
            continue
        handle = table.load(bucket, id)
        if handle is None:
            found.append(_change(one, "", "new"))
            continue
        there = of_table(pa.schema(handle.schema().to_arrow()), one)
        if (used := used_registry.kept(store, id)) is not None:
            changes = [*_between(used, one)]
            # A table also has columns that its last registry does not declare.
            said = {change.path for change in changes if change.refused}
            there = [*changes, *(change for change in there if change.refused and change.path not in said)]
        found += there
    prefixes = store.list_with_delimiter("tables/")["common_prefixes"]
    ids = [prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes]
    return found + [_change(Application(id, id), "", "no file") for id in sorted(ids) if id not in registry]


def of_table(there: pa.Schema, application: Application) -> list[Change]:
    """What the registry changes for a table with these columns, if nothing else is known."""
    old, new = set(_paths(there)), set(_paths(table.schema(application)))
    folded = {path.lower() for path in old}, {path.lower() for path in new}
    fields = [(_column(path), one) for path, one in application.declared.items() if isinstance(one, Field)]
    former = {column: one.replaces for column, one in fields if one.replaces is not None}
    found = [*_types(there, application)]
    for path in sorted(new):
        if path.lower() in folded[0]:
            continue
        was = former.get(_column(path))
        renamed = was is not None and f"{path.rpartition('.')[0]}.{was}".lower() in folded[0]
        found.append(_change(application, path, "renamed" if renamed else "new", f"from {was}" if renamed else ""))
    return found + [_change(application, path, "deleted") for path in sorted(old) if path.lower() not in folded[1]]


def _paths(schema: pa.Schema) -> Iterator[str]:
    """The columns of declared attributes: `attributes.osName`, `events.attributes.how`."""
    for column in ("attributes", "events", "spans"):
        kind = schema.field(column).type if column in schema.names else pa.struct([])
        path = column
        if pa.types.is_list(kind):
            at = kind.value_type.get_field_index("attributes")
            kind, path = pa.struct([]) if at < 0 else kind.value_type.field(at).type, f"{column}.attributes"
        yield from (f"{path}.{field.name}" for field in kind)


def at_commit(directory: Path, commit: str) -> dict[str, Application]:
    """The registry at a commit of the repository. Raises `AgainstError` and `RegistryError`."""
    wanted = f"{commit}^{{commit}}"
    hash = _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted).decode().strip()
    names = os.fsdecode(_git(directory, "ls-tree", "-z", "--name-only", hash, "./")).split("\0")
    found = {PROBE.id: PROBE}
    faults: list[str] = []
    for name in names:
        if name.endswith(".toml"):
            text = _git(directory, "cat-file", "blob", f"{hash}:./{name}")
            try:
                one = parse(text.decode("utf-8-sig"), f"{name} at {commit}")
                found[one.id] = one
            except RegistryError as error:
                faults += error.faults
            except UnicodeDecodeError as error:
                faults.append(f"{name} at {commit}: cannot be read: {error}; compare with a commit that has UTF-8 text")
    if faults:
        raise RegistryError(faults)
    return found


def _git(directory: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise AgainstError("git is not installed; name a bucket, or install git") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip() or "no commit and no directory has this name"
        raise AgainstError(f"{why}; name a bucket, or a commit of the repository that contains {directory}")
    return done.stdout
