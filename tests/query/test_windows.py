import duckdb
import pytest

from reports.query.windows import windowed


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("last_days(start_time, 28)", True),
        ("start_time >= '2026-01-01'", True),
        ("'2026-01-01' < s.start_time", True),
        ("shell = 'fish' AND NOT (start_time BETWEEN '2026-01-01' AND now())", True),
        ("year(start_time) IN (2025, 2026)", True),
        ("date_trunc('month', Start_Time) = (SELECT max(released) FROM releases)", True),
        ("shell = 'fish'", False),
        ("start_time IS NOT NULL", False),
        ("start_time > first_used", False),
        ("user_id IN (SELECT user_id FROM sessions WHERE shell = 'zsh')", False),
        ("user_id IN (SELECT user_id FROM sessions WHERE start_time < '2026-01-01')", True),
    ],
)
def test_a_comparison_with_a_time_is_a_window(condition: str, found: bool) -> None:
    times = {"start_time", "first_used"}
    with duckdb.connect() as connection:
        assert windowed(connection, f"SELECT * FROM sessions AS s WHERE {condition}", times) == found


def test_a_time_that_is_selected_only_is_no_window() -> None:
    with duckdb.connect() as connection:
        assert not windowed(connection, "SELECT start_time >= '2026-01-01' AS late FROM sessions", {"start_time"})
