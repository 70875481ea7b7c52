"""Explains failures of bucket, network and disk in one sentence with a fix."""

import re

from deltalake.exceptions import DeltaError
from duckdb import Error as DuckDBError
from obstore.exceptions import BaseError
from pyarrow import ArrowException

from reports.blocks.format import brief
from reports.storage.objects import Damaged
from reports.storage.table import Overtaken, TableError

__all__ = ["OUTER", "explained"]

# Exceptions of libraries that are not the program's own fault.
OUTER = (BaseError, DeltaError, DuckDBError, ArrowException, OSError)
# Text of an error -> what it means and what to do. The first that fits.
CAUSES = {
    r"No space left on device|[Dd]isk quota exceeded|max_temp_directory_size":
        "the disk is full: free some space, or name a directory on another disk in XDG_CACHE_HOME (copies of the "
        "bucket) and TMPDIR",
    r"169\.254\.169\.254|latest/(api/token|meta-data)|metadata\.google|NoCredentials|missing credentials|token request":
        "there are no credentials for the bucket: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or your cloud's own "
        "variables (page Cloud settings)",
    r"ExpiredToken|token (has|is) expired|TokenRefreshRequired":
        "the credentials for the bucket have expired: sign in again, or get a new token",
    r"InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed|401 Unauthorized|InvalidAuthenticationInfo":
        "the store does not accept the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or your cloud's own "
        "variables, are not those of this account",
    r"LocalFileSystem.*Permission denied":
        "you may not read or write there: change the owner or the rights of the bucket's directory",
    r"403 Forbidden|AccessDenied|lacked the necessary privileges|PermissionDenied":
        "the credentials do not have the right to do this, or there is no such bucket: `abaculus doctor` says which",
    r"NoSuchBucket|ContainerNotFound|specified bucket does not exist":
        "there is no such bucket: compare --bucket or ABACULUS_BUCKET with your cloud's console",
    r"incorrectly configured region|PermanentRedirect|AuthorizationHeaderMalformed":
        "the bucket is in another region: set AWS_REGION to it",
    r"builder error":
        "the endpoint cannot be used: AWS_ENDPOINT_URL must be a URL, and an http URL needs AWS_ALLOW_HTTP=true",
    r"error sending request|[Cc]onnection refused|dns error|timed out|operation timed out|[Cc]onnect\b.*error":
        "the bucket cannot be reached: check the network, and AWS_ENDPOINT_URL if it is set",
    r"\b50[0-9] |SlowDown|429 Too Many":
        "the store is busy: wait a little and run the command again; nothing is lost",
    r"[Pp]arquet|No magic bytes|No files found that match|has \d+ bytes, the table says|Corrupt":
        "a file of a table is damaged or missing: `abaculus repair` says which file, and what to do",
}  # fmt: skip


def explained(error: BaseException) -> str | None:
    """A sentence that says what to do. None for a bug of ours, which keeps its traceback."""
    if isinstance(error, Damaged | TableError | Overtaken):
        return str(error)
    if isinstance(error, PermissionError) and error.filename:
        return f"{error.filename} cannot be read or written: {error.strerror}; change its owner or its rights"
    if not isinstance(error, OUTER):
        return None
    for pattern, cause in CAUSES.items():
        if re.search(pattern, str(error)):
            return f"{cause} ({brief(error)})"
    return None
