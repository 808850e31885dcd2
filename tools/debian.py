"""Packages of the system this runs on: Debian, or one of its children."""

import functools
import os
import shlex
import shutil
import subprocess

from tools.base import Refusal, call

# A freshly started machine is often still updating itself.
APT_GET = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300"]
APT_INSTALL = [*APT_GET, "install", "--yes", "--no-install-recommends"]


def need(*packages: str) -> None:
    """Install the packages that are missing, or say which command does.

    Raises Refusal when they cannot be installed from here.
    """
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        install(missing)


def is_installed(package: str) -> bool:
    """Whether dpkg knows the package as installed."""
    if shutil.which("dpkg-query") is None:
        return False
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    return found.returncode == 0 and found.stdout == "installed"


def install(packages: list[str]) -> None:
    """Install packages as root; raise Refusal where that cannot be done."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise Refusal(f"This needs {names}, and there is no apt-get here to install it with.")
    if os.geteuid() != 0:
        raise Refusal(f"This needs {names}. Install it with:\n{command_for(packages)}")
    print(f"Installing {names}", flush=True)
    update()
    if call([*APT_INSTALL, *packages], env=_without_questions()) != 0:
        raise Refusal(f"apt-get could not install {names}; what it said is above.")


@functools.cache
def update() -> None:
    """Fetch the lists of packages, once."""
    # A failure counts only if the package is then not found: one bad source of many is common.
    call([*APT_GET, "update"], env=_without_questions())


def command_for(packages: list[str]) -> str:
    """The one command that installs packages, for somebody who is not root."""
    words = shlex.join(["apt-get", "install", "--yes", *packages])
    script = shlex.quote(f"apt-get update && {words}")
    return f"sudo sh -c {script}" if shutil.which("sudo") else f"su -c {script}"


def _without_questions() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
