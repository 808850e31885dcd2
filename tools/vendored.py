"""Checks the files that others wrote: they are what they were when they were taken in.

Each directory called `vendor` holds a SHA256SUMS, in the form of sha256sum, that names every other
file in it.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.base import ROOT, directories

MANIFEST = "SHA256SUMS"


def vendor_directories() -> list[Path]:
    """Every directory of vendored files."""
    return [directory for directory in directories() if directory.name == "vendor"]


def problems(vendor: Path) -> Iterator[str]:
    """One line for each file that is changed, missing, or not named in the manifest."""
    manifest = vendor / MANIFEST
    if not manifest.is_file():
        yield f"{vendor}: has no {MANIFEST}"
        return
    expected = _read(manifest)
    present = {str(path.relative_to(vendor)) for path in vendor.rglob("*") if path.is_file()}
    for name in sorted(present - expected.keys() - {MANIFEST}):
        yield f"{vendor / name}: is not in {MANIFEST}"
    for name, digest in expected.items():
        if name not in present:
            yield f"{vendor / name}: is missing"
        elif hashlib.sha256((vendor / name).read_bytes()).hexdigest() != digest:
            yield f"{vendor / name}: was changed"


def _read(manifest: Path) -> dict[str, str]:
    lines = manifest.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {name.removeprefix("*"): digest for digest, name in pairs}


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    vendors = vendor_directories()
    wrong = [line for vendor in vendors for line in problems(vendor)]
    for line in wrong:
        print(line.removeprefix(f"{ROOT}/"))
    print(f"{len(vendors)} directories of vendored files, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
