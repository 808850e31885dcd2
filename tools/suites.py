"""The test suites that need more than Python, and how what they need is installed.

A suite is a pytest marker (registered in pyproject.toml, and left out there by default) and one
function here, which installs what is missing and is quick when nothing is. docs/testing.md shows
how to add one.
"""

from collections.abc import Callable

from tools.debian import need
from tools.npm import need_programs
from tools.trixie import want_trixie


def need_systemd() -> None:
    """To boot one on this machine, and the later one of Debian 13 where that can be had."""
    need("systemd", "systemd-container", "libpam-systemd", "dbus", "curl", "procps")
    want_trixie()


SUITES: dict[str, Callable[[], None]] = {
    "npm": need_programs,
    "root": lambda: need("strace", "e2fsprogs"),
    "uml": lambda: need("user-mode-linux", "systemd", "libpam-systemd", "dbus"),
    "systemd": need_systemd,
}


def prepare_all() -> None:
    """Install what every suite needs; raises Refusal when something cannot be installed."""
    for prepare in SUITES.values():
        prepare()
