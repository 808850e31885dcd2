"""Programs from the npm registry, for the tests that talk to the server with them.

A directory with a package.json and a package-lock.json gets its node_modules. The lock holds the
files' hashes and no addresses: where they come from is a matter of the machine's npm settings. To
renew it: `npm install --package-lock-only --omit-lockfile-registry-resolved` in the directory.
"""

import hashlib
import os
import shutil
from pathlib import Path

from tools import debian
from tools.base import ROOT, Refusal, call

PROGRAMS = ROOT / "tests" / "npm"

_QUIETLY = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


def need_programs(directory: Path = PROGRAMS) -> None:
    """Install what the directory's lock names, unless it is there. Raises Refusal."""
    stamp = directory / "node_modules" / ".installed"
    wanted = hashlib.sha256((directory / "package-lock.json").read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="ascii") == wanted:
        return
    if shutil.which("npm") is None:
        debian.need("nodejs", "npm")
    print(f"Installing {directory}", flush=True)
    command = ["npm", "ci", "--prefix", str(directory), "--ignore-scripts", "--prefer-offline"]
    if call([*command, *_QUIETLY], env={**os.environ, "CI": "1"}) != 0:
        raise Refusal(f"npm could not install {directory}; what it said is above.")
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(wanted, encoding="ascii")
