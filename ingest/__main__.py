"""Runs the function in a container, with the bucket in ABACULUS_BUCKET and the port in PORT."""

import os
import sys

from ingest.function.bucket_url import BucketError
from ingest.function.registry import RegistryError
from ingest.function.server import serve
from ingest.function.settings import SettingsError

if __name__ == "__main__":
    bucket = os.environ.get("ABACULUS_BUCKET")
    if not bucket:
        sys.exit("ABACULUS_BUCKET is not set; give the URL of the bucket, such as s3://my-bucket")
    try:
        serve(bucket, os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080")))  # noqa: S104 (a container)
    except (BucketError, RegistryError, SettingsError, OSError, ValueError) as error:
        sys.exit(str(error))
