"""A package index in a directory: small wheels, the lock of some of them, and releases that came out after the lock."""

import base64
import hashlib
import zipfile
from pathlib import Path


class Index:
    """A directory that pip and uv take as an index, as in PEP 503."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def environment(self) -> dict[str, str]:
        """Lets pip and uv see this index and no other."""
        url = self.directory.as_uri()
        return {"PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": url, "UV_DEFAULT_INDEX": url}

    def release(self, name: str, version: str, *metadata: str) -> str:
        """Publishes a wheel, which holds one module; the line of a lock that pins it."""
        there = self.directory / name
        path = wheel(there, name, version, *metadata)
        with (there / "index.html").open("a", encoding="utf-8") as page:
            page.write(f'<a href="{path.name}">{path.name}</a>\n')
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def wheel(directory: Path, name: str, version: str, *metadata: str, scripts: str = "") -> Path:
    """Writes a wheel with one module, with these further lines of metadata and console scripts."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"def main():\n    print({name!r}, {version!r})\n",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}\n",
    }
    digests = {file: hashlib.sha256(text.encode()).digest() for file, text in files.items()}
    record = [
        f"{file},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')},{len(files[file])}"
        for file, digest in digests.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def after_the_lock(index: Index) -> str:
    """The lock of three packages, one of which asks for an extra of another, which then has a newer release.

    That is what happened with sigstore-rekor-types, which asks for `pydantic[email]`.
    """
    more = ["Provides-Extra: more", 'Requires-Dist: helper; extra == "more"']
    lock = index.release("outer", "1.0", "Requires-Dist: inner[more]>=1")
    lock += index.release("inner", "1.0", *more)
    lock += index.release("helper", "1.0")
    index.release("inner", "1.1", *more)
    return lock
