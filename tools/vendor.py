"""Takes the files in that others wrote: xterm.js, as published on the npm registry.

`python -m tools.vendor` fetches each package with `npm pack`, holds it against the digest noted
here, and replaces the files in web/static/vendor. To update, change version and digest (what
`npm view NAME dist.integrity` says), and run it. docs/testing.md tells how the files are checked.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from tools.base import ROOT
from tools.vendored import MANIFEST

VENDOR = ROOT / "web" / "static" / "vendor"


class Package(NamedTuple):
    """A package of the npm registry: the sha512 of its archive, and which files of it are wanted."""

    name: str
    version: str
    sha512: str
    files: dict[str, str]


# Files go in as published: minifying xterm.js once more breaks it.
PACKAGES = (
    Package(
        "@xterm/xterm",
        "6.0.0",
        "TQwDdQGtwwDt+2cgKDLn0IRaSxYu1tSUjgKarSDkUM0ZNiSRXFpjxEsvc/Zgc5kq5omJ+V0a8/kIM2WD3sMOYg==",
        {
            "lib/xterm.mjs": "xterm.mjs",
            "css/xterm.css": "xterm.css",
            "LICENSE": "LICENSE.xterm",
        },
    ),
    Package(
        "@xterm/addon-fit",
        "0.11.0",
        "jYcgT6xtVYhnhgxh3QgYDnnNMYTcf8ElbxxFzX0IZo+vabQqSPAjC3c1wJrKB5E19VwQei89QCiZZP86DCPF7g==",
        {"lib/addon-fit.mjs": "addon-fit.mjs", "LICENSE": "LICENSE.addon-fit"},
    ),
    Package(
        "@xterm/addon-unicode11",
        "0.9.0",
        "FxDnYcyuXhNl+XSqGZL/t0U9eiNb/q3EWT5rYkQT/zuig8Gz/VagnQANKHdDWFM2lTMk9ly0EFQxxxtZUoRetw==",
        {"lib/addon-unicode11.mjs": "addon-unicode11.mjs", "LICENSE": "LICENSE.addon-unicode11"},
    ),
    Package(
        "@xterm/addon-web-links",
        "0.12.0",
        "4Smom3RPyVp7ZMYOYDoC/9eGJJJqYhnPLGGqJ6wOBfB8VxPViJNSKdgRYb8NpaM6YSelEKbA2SStD7lGyqaobw==",
        {"lib/addon-web-links.mjs": "addon-web-links.mjs", "LICENSE": "LICENSE.addon-web-links"},
    ),
)


def take_in(package: Package, directory: Path) -> None:
    """Fetch a package and write the wanted files to `VENDOR`."""
    pack = ["npm", "pack", "--silent", "--pack-destination", str(directory)]
    done = subprocess.run(
        [*pack, f"{package.name}@{package.version}"], check=True, capture_output=True, text=True
    )
    archive = directory / done.stdout.splitlines()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != package.sha512:
        sys.exit(f"{package.name} {package.version} is not what it was: its sha512 is {digest}")
    with tarfile.open(archive) as files:
        for inside, name in package.files.items():
            file = files.extractfile(f"package/{inside}")
            assert file is not None  # noqa: S101 - the digest says that it is there
            (VENDOR / name).write_bytes(file.read())


def main() -> None:
    """Take everything in and write the manifest."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    for old in VENDOR.iterdir():
        old.unlink()
    with tempfile.TemporaryDirectory() as directory:
        for package in PACKAGES:
            take_in(package, Path(directory))
    names = sorted(path.name for path in VENDOR.iterdir())
    lines = (f"{hashlib.sha256((VENDOR / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
    (VENDOR / MANIFEST).write_text("".join(lines), encoding="ascii")
    print(f"{len(names)} files in {VENDOR.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
