import csv
import io
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reports.blocks.format import value
from reports.blocks.published import Column, Published, Share, Value
from reports.charts.download import csv_text, parquet


def published(*rows: tuple[Value, ...], kinds: tuple[str, ...] = ("text", "number")) -> Published:
    columns = tuple(Column(f"c{number}", kind) for number, kind in enumerate(kinds))
    return Published(columns[:1], columns[1:], rows, people=10)


def test_both_files_have_the_published_cells_and_nothing_else() -> None:
    made = published(
        (datetime(2026, 1, 2, 3), "fish", 12, 0.25, 1.5, None),
        (datetime(2026, 1, 9, 3), None, 10, 1.0, None, True),
        kinds=("time", "text", "number", "share", "milliseconds", "boolean"),
    )
    assert csv_text(made) == (
        "c0,c1,c2,c3,c4,c5\n2026-01-02T03:00:00Z,fish,12,0.25,1.5,\n2026-01-09T03:00:00Z,,10,1.0,,True\n"
    )
    table = pq.read_table(io.BytesIO(parquet(made)))
    assert [tuple(row.values()) for row in table.to_pylist()] == list(made.rows)
    assert table.schema.types == [pa.timestamp("us"), pa.string(), pa.int64(), pa.float64(), pa.float64(), pa.bool_()]


def test_a_share_that_rounds_to_zero_is_no_zero_in_a_file() -> None:
    made = published(("a", Share(0.0, 0.025)), ("b", Share(0.5, 0.025)), ("c", Share(0.0)), kinds=("text", "share"))
    shown = value(made.columns[1], made.rows[0][1])
    assert "2.5" in shown
    assert csv_text(made) == f"c0,c1\na,{shown}\nb,0.5\nc,0.0\n"
    assert pq.read_table(io.BytesIO(parquet(made)))["c1"].to_pylist() == [None, 0.5, 0.0]


@pytest.mark.parametrize(
    "label",
    ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", " =1", "=cmd|'/c calc'!A0", "-", "\uff1d1+1", "\uff20x", "\n=1"],
)
def test_no_cell_of_a_spreadsheet_runs(label: str) -> None:
    (_, (cell, _)) = csv.reader(io.StringIO(csv_text(published((label, 1)))))
    assert cell == f"'{label}"
    assert pq.read_table(io.BytesIO(parquet(published((label, 1)))))["c0"].to_pylist() == [label]


@pytest.mark.parametrize("label", ["-1", "+1.5", "fish", "a=b", "1-2", "'", ""])
def test_other_cells_are_left_as_they_are(label: str) -> None:
    assert list(csv.reader(io.StringIO(csv_text(published((label, 1))))))[1] == [label, "1"]


@pytest.mark.parametrize("label", ['a"b', "a,b", "a\nb", "a\r\nb", "</script>", '"; DROP TABLE x; --', "a;b"])
def test_no_label_breaks_out_of_its_cell(label: str) -> None:
    assert list(csv.reader(io.StringIO(csv_text(published((label, 1), ("next", 2))))))[1:] == [
        [label, "1"],
        ["next", "2"],
    ]


def test_a_column_may_be_called_like_a_formula() -> None:
    made = Published((), (Column("=1+1", "number"),), ((1,),), people=None)
    assert csv_text(made) == "'=1+1\n1\n"
