"""The files that make Runwire a service of systemd, as they are put on this machine.

They ship with Runwire and name the program `/usr/bin/runwire`; installed, they name the one that
installs them, and its own post-stop. Every file says that it was installed, and only such files are taken away again.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from supervisor.errors import BadValue

MARK = "# Installed by `runwire install-service`; `runwire uninstall-service` removes it.\n"
SINCE_254 = "10-systemd-254"
_NAMED = "/usr/bin/runwire"
_LIBRARY = "/usr/lib/runwire"
_USER_STATE = "%h/.local/state/runwire"
_STARTER = """\
# The jobs of this machine; docs/jobs-toml.md tells everything that can stand here.
# After a change: systemctl{user} reload runwire

[jobs.hello]
description = "Shows that it works"
command = ["echo", "hello from Runwire"]
"""


class UnitFile(Struct, frozen=True):
    """A file to be written. `keep` leaves one that is there already as it is."""

    path: Path
    text: str
    keep: bool = False


def shipped() -> Path:
    """Where the files are that ship with Runwire: in the package, or beside it in a checkout."""
    here = Path(__file__).parent
    inside = here / "systemd"
    return inside if inside.is_dir() else here.parent / "systemd"


def drop_ins() -> list[str]:
    """The names of the drop-ins that may be chosen."""
    names = sorted(path.stem for path in (shipped() / "runwire.service.d").glob("*.conf"))
    return [name for name in names if name != SINCE_254]


def system_files(program: Path, root: Path, chosen: tuple[str, ...]) -> Iterator[UnitFile]:
    """Those of a service of the whole machine; `chosen` drop-ins with it, below `root`."""
    units = root / "etc/systemd/system"
    for name in ("runwire.service", "runwire.socket"):
        yield _unit(units / name, shipped() / name, program)
    for name in chosen:
        file = f"runwire.service.d/{name}.conf"
        yield _unit(units / file, shipped() / file, program)
    for kind in ("sysusers", "tmpfiles"):
        source = shipped() / f"runwire.{kind}.conf"
        yield _unit(root / f"etc/{kind}.d/runwire.conf", source, program)
    yield UnitFile(root / "etc/runwire/jobs.toml", _STARTER.format(user=""), keep=True)


def user_files(
    program: Path, config_home: Path, state_dir: Path, chosen: tuple[str, ...] = ()
) -> Iterator[UnitFile]:
    """Those of a service of one user, whose state is in `state_dir`; `chosen` drop-ins with it."""
    units = config_home / "systemd/user"
    for name in ("runwire.service", "runwire.socket"):
        unit = _unit(units / name, shipped() / "user" / name, program)
        yield msgspec.structs.replace(unit, text=unit.text.replace(_USER_STATE, str(state_dir)))
    for name in chosen:
        file = f"runwire.service.d/{name}.conf"
        yield _unit(units / file, shipped() / file, program)
    yield UnitFile(config_home / "runwire/jobs.toml", _STARTER.format(user=" --user"), keep=True)


def check_path(path: Path) -> None:
    """Raise BadValue if systemd could not read it where it stands in a unit."""
    if re.search(r"[\s%$\"'\\]", str(path)):
        raise BadValue(f"{path} has characters in its path that a unit file cannot have")


def check_program(program: Path) -> None:
    """Raise BadValue if a service user could not execute it, or systemd not read its name."""
    check_path(program)
    shown = program
    for _ in range(2):  # the script, and the interpreter that it names
        for part in (shown, *shown.parents):
            if not part.stat().st_mode & stat.S_IXOTH:
                raise BadValue(
                    f"{program} cannot be executed by the service's user: {part} is not open to "
                    "others; install Runwire where everybody can read it, such as /opt"
                )
        shown = Path(os.path.realpath(_interpreter(program)))


def check_ours(files: Iterable[UnitFile]) -> None:
    """Raise BadValue if one that would be written is there already, and was not put there by us."""
    for file in files:
        if not file.keep and file.path.exists() and not file.path.read_text().startswith(MARK):
            raise BadValue(
                f"{file.path} is somebody else's: install-service has not written it. Move it "
                "away; rules of your own go into drop-ins (systemctl edit)"
            )


def installed(files: Iterator[UnitFile]) -> list[Path]:
    """Those of the files that are there and were put there by us, with the rest of the drop-ins."""
    found = []
    for file in files:
        if file.path.name == "runwire.service":
            found += sorted(file.path.with_name("runwire.service.d").glob("*.conf"))
        found.append(file.path)
    unique = dict.fromkeys(found)
    return [path for path in unique if path.is_file() and path.read_text().startswith(MARK)]


def _unit(path: Path, source: Path, program: Path) -> UnitFile:
    text = source.read_text("utf-8").replace(_NAMED, str(program))
    return UnitFile(path, MARK + text.replace(_LIBRARY, str(shipped())))


def _interpreter(program: Path) -> Path:
    with program.open("rb") as file:
        line = file.readline(4096)
    name = line[2:].split()[0] if line.startswith(b"#!") else b""
    return Path(os.fsdecode(name)) if name else program
