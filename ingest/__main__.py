"""Runs the function where a container is started: the bucket from ABACULUS_BUCKET, the port from PORT."""

import os
import sys

from ingest.asgi import serve
from ingest.bucket import BucketError
from ingest.registry import RegistryError
from ingest.settings import SettingsError

if __name__ == "__main__":
    bucket = os.environ.get("ABACULUS_BUCKET")
    if not bucket:
        sys.exit("ABACULUS_BUCKET is not set; give the URL of the bucket, such as s3://my-bucket")
    try:
        serve(bucket, os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080")))  # noqa: S104 (a container)
    except (BucketError, RegistryError, SettingsError, OSError, ValueError) as error:
        sys.exit(str(error))
