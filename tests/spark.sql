-- Questions that must have one answer on every engine: tests/query/test_spark.py asks them.

SELECT count(*), count(DISTINCT user_id) FROM sessions;

SELECT os, count(*) AS n FROM sessions GROUP BY ALL ORDER BY n DESC, os;

SELECT os o, o || '!' AS p, count(*) FROM sessions GROUP BY ALL ORDER BY 1;

SELECT * EXCLUDE (n) FROM (SELECT shell, count(*) AS n FROM sessions GROUP BY shell) ORDER BY shell;

SELECT os, count(*)
FROM (SELECT os, user_id FROM sessions UNION ALL BY NAME SELECT user_id, shell AS os FROM sessions)
GROUP BY 1 ORDER BY 1;

SELECT count(*) FROM (
    SELECT user_id, row_number() OVER (PARTITION BY user_id ORDER BY start_time) AS n FROM sessions QUALIFY n = 1
);

SELECT median(duration_ms), quantile_cont(duration_ms, 0.95), quantile_cont(duration_ms, [0.1, 0.9]) FROM sessions;

SELECT dayname(start_time), monthname(start_time), hour(start_time), strftime(start_time, '%Y-%m') AS month, count(*)
FROM sessions GROUP BY ALL ORDER BY ALL;

SELECT date_trunc('week', start_time) AS week, count(*) FILTER (ci) FROM sessions GROUP BY ALL ORDER BY ALL;

SELECT sum((duration_ms / 1000)::INTEGER), sum(floor(duration_ms / 1000)), max(epoch(end_time - start_time))
FROM sessions;

SELECT sum(exit_code // 2), sum(epoch_ms(start_time) % 7), sum(epoch(start_time)) FROM sessions;

SELECT type, session.os, count(*) FROM events GROUP BY ALL ORDER BY ALL;

SELECT type, sum(duration_ms > 100), bool_or(duration_ms > 100) FROM spans GROUP BY ALL ORDER BY ALL;

SELECT feature, choice, count(*) FROM features GROUP BY ALL ORDER BY ALL;

/* The macros. */
SELECT application_version, is_latest(application, application_version, start_time) AS latest, count(*)
FROM sessions GROUP BY ALL ORDER BY ALL;

SELECT round(sum(days_since_release(application, application_version, start_time)), 3) FROM sessions;

SELECT count(*), count(DISTINCT user_id) FROM sessions WHERE last_days(start_time, 28);

SELECT c, count(*) FROM (SELECT cohort(user_id, start_time, 'month') AS c FROM sessions) GROUP BY ALL ORDER BY ALL;

SELECT version_rank(application_version) AS r, count(*) FROM sessions GROUP BY application_version ORDER BY r LIMIT 4;

SELECT version, count(*) FROM sessions JOIN releases ON version = application_version GROUP BY ALL ORDER BY ALL;

SELECT string_split(application_version, '.')[1] AS major, arg_min(os, start_time), any_value(application)
FROM sessions GROUP BY ALL ORDER BY ALL;

SELECT count(*) FROM sessions
WHERE regexp_matches(application_version, '^1\.[0-3]') AND os ILIKE 'lin%' AND shell NOT IN ('cmd');

SELECT isfinite(duration_ms) AS f, count(*) FROM sessions GROUP BY ALL;

WITH few AS (SELECT user_id, count(*) AS n FROM sessions GROUP BY user_id)
SELECT least(n, 5) AS runs, count(*) FROM few GROUP BY ALL ORDER BY ALL;

SELECT date_diff('day', min(start_time), max(start_time)), date_diff('hour', min(start_time), max(start_time)),
    date_diff('week', min(start_time), max(start_time)), date_diff('month', min(start_time), max(start_time)), count(DISTINCT start_time::DATE),
    max(start_time + INTERVAL 1 DAY), max(start_time::DATE - DATE '2026-01-01')
FROM sessions;

FROM releases SELECT count(*);

SELECT side, count(*) FROM (
    SELECT *, 1 AS side FROM (WITH runs AS (SELECT os FROM sessions WHERE ci) SELECT os FROM runs)
    UNION ALL
    SELECT *, 2 AS side FROM (WITH runs AS (SELECT os FROM sessions WHERE NOT ci) SELECT os FROM runs)
) GROUP BY ALL ORDER BY ALL;

WITH sessions AS (SELECT os FROM memory.main.sessions WHERE ci) SELECT os, count(*) FROM sessions GROUP BY ALL ORDER BY ALL;

WITH runs AS NOT MATERIALIZED (SELECT os, shell FROM sessions), few AS MATERIALIZED (SELECT os FROM runs GROUP BY os)
SELECT shell, count(*) FROM runs JOIN few USING (os) GROUP BY ALL ORDER BY ALL;

SELECT shell, min(duration_ms, 3), max(duration_ms, 2) FROM sessions GROUP BY ALL ORDER BY ALL;

SELECT min(duration_ms, 3), max(duration_ms, 2) FROM sessions WHERE duration_ms < 0;
SELECT shell, numbers.number, count(*) FROM sessions JOIN range(3) AS numbers(number) ON number < 2 GROUP BY ALL ORDER BY ALL;
SELECT range, range * 2 FROM range(4) ORDER BY ALL
