"""A pytest plugin: compaction looks up known sessions on the cluster at $SPARK_REMOTE (`pytest -p tests.on_spark`).

So the tests of compaction are the same for both engines. Processes that these tests start go on with DuckDB: then both
compact one table in turns.
"""

from functools import cache

from obstore.store import ObjectStore

from reports.query.spark import Cluster
from reports.storage.stored_ids import Known
from reports.writers import compact


@cache
def _cluster(bucket: str) -> Cluster:
    return Cluster(bucket)


def _known(store: ObjectStore, bucket: str, application: str) -> Known:
    return _cluster(bucket).known


compact.scan = _known
