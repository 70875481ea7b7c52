"""A registry file for a table that has none: an application's former declarations, as far as columns and rows show
them.
"""

import json
from collections.abc import Iterator

import pyarrow as pa
from obstore.store import ObjectStore

from reports.storage import damage, table
from reports.storage.duck import open_duckdb
from reports.storage.mirror import mirror

__all__ = ["registry_file"]

WHY = 'why = ""  # write the question that it answers'


def registry_file(store: ObjectStore, bucket: str, application: str) -> str:
    """TOML with everything in the table. Add meanings, such as roles, by hand."""
    look = damage.look(store, bucket, application, ())
    lines = [f"id = {json.dumps(application)}", ""]
    if look.handle is not None:
        kind = pa.schema(look.handle.schema().to_arrow())
        lines += _fields("attributes", kind.field("attributes").type if "attributes" in kind.names else pa.struct([]))
        paths = [str(path) for path in mirror(store, bucket, table.keys(application, look.files))]
        for member in ("events", "spans"):
            lines += _kinds(paths, member, kind.field(member).type.value_type)
    return "\n".join(lines)


def _kinds(paths: list[str], member: str, kind: pa.StructType) -> Iterator[str]:
    """Types of events or spans, each with the attributes for which any entry has a value."""
    if not paths:
        return
    at = kind.get_field_index("attributes")
    fields = list(kind.field(at).type) if at >= 0 else []
    has = "".join(f""", bool_or(entry.attributes."{field.name}" IS NOT NULL)""" for field in fields)
    with open_duckdb() as connection:
        found = connection.execute(
            f"SELECT entry.type{has} FROM (SELECT unnest({member}) AS entry FROM read_parquet($1, "
            "union_by_name = true, hive_partitioning = false)) GROUP BY entry.type ORDER BY entry.type",
            [paths],
        ).fetchall()
    for name, *there in found:
        yield from (f"[{member}.{name}]", WHY, "")
        chosen = pa.struct([field for field, value in zip(fields, there, strict=True) if value])
        yield from _fields(f"{member}.{name}.attributes", chosen)


def _fields(at: str, kind: pa.StructType) -> Iterator[str]:
    for field in kind:
        yield from (f"[{at}.{field.name}]", f'type = "{table.DECLARED.get(field.type, "string")}"', WHY, "")
