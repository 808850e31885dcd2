"""What this machine allows a server to do, and what is in its way. Asked by `runwire doctor`.

Everything is found out by trying or by looking, and undone: nothing is left behind.
"""

from __future__ import annotations

import enum
import errno
import os
import resource
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile

from msgspec import Struct

from supervisor.config.bind import Bind
from supervisor.config.settings import Settings
from supervisor.errors import StateDirError
from supervisor.journal.copying import check_journal
from supervisor.model import Tracking
from supervisor.processes.cgroup import Cgroups, open_cgroups
from supervisor.processes.controllers import SHARED_LIMITS, lacking
from supervisor.statedir import refuse_a_lost_journal
from supervisor.units import GIB, KIB, MIB

DESCRIPTORS_A_RUN = 10
"""Open files that a run takes while it goes on: its pipes, its log, and what watches its end."""
_OWN_DESCRIPTORS = 64
_LEAST_DISK = 64 * MIB
_PIPE_PAGES = 16
_PAGE = os.sysconf("SC_PAGESIZE")
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2


class Level(enum.StrEnum):
    """How bad a finding is; with a `failure` a server cannot do its work."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(Struct, frozen=True):
    """What was found out about one thing."""

    subject: str
    level: Level
    text: str


def check_up(settings: Settings) -> Iterator[Finding]:
    """What is so for a server with these settings, whether one is running or not."""
    supervisor = settings.supervisor
    yield _tracking(supervisor.process_tracking)
    yield _limits()
    yield _group_signals()
    yield from _state_dir(supervisor.state_dir)
    yield from _journal(supervisor.state_dir)
    yield _open_files(supervisor.max_running)
    yield _processes(supervisor.max_running)
    yield _pipes(supervisor.max_running)
    yield _clock(supervisor.state_dir)


def check_address(bind: Bind) -> Finding:
    """Whether a server could listen there; one that already does is what is in the way."""
    try:
        family = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM)[0][0]
        with closing(socket.create_server((bind.host, bind.port), family=family)):
            return Finding("address", Level.OK, f"{bind} is free")
    except OSError as exc:
        # create_server() adds to the text, getaddrinfo() has numbers of its own.
        code = exc.errno or 0
        why = os.strerror(code) if code > 0 else exc.strerror
        return Finding("address", Level.FAILURE, f"{bind} cannot be had: {why}")


def _tracking(wanted: Tracking | None) -> Finding:
    """The best means, and why it is no better; a group is made and removed to find out."""
    groups = open_cgroups(f"doctor-{os.getpid()}")
    if isinstance(groups, Cgroups):
        groups.tidy()
    why = groups if isinstance(groups, str) else ""
    if wanted is Tracking.CGROUP and why:
        text = f"jobs.toml asks for control groups, and there are none: {why}"
        return Finding("process tracking", Level.FAILURE, text)
    best = Tracking.SUBREAPER if why else Tracking.CGROUP
    chosen = wanted or best
    if chosen is not best:
        text = f"{chosen}, as jobs.toml says; {best} could be had"
        return Finding("process tracking", Level.WARNING, text)
    if not why:
        return Finding("process tracking", Level.OK, f"{chosen}: nothing of a run gets away")
    return Finding("process tracking", Level.WARNING, f"{chosen}, as {why}")


def _limits() -> Finding:
    """Which limits of a run as a whole there are controllers for, if it gets a control group."""
    names = f"{', '.join(SHARED_LIMITS[:-1])} and {SHARED_LIMITS[-1]}"
    groups = open_cgroups(f"doctor-{os.getpid()}")
    if isinstance(groups, str):
        text = f"{names} cannot be had: {groups}"
        return Finding("limits", Level.WARNING, text)
    troubles = lacking(groups.path.parent)
    groups.tidy()
    if troubles:
        lacked = f"{groups.path.parent} has no such controllers"
        text = f"{', '.join(troubles)} cannot be had: {lacked}"
        return Finding("limits", Level.WARNING, text)
    text = f"{names} can be had, by a server that is alone in its control group, as a service is"
    return Finding("limits", Level.OK, text)


def _group_signals() -> Finding:
    pidfd = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(pidfd, 0, None, _PIDFD_SIGNAL_PROCESS_GROUP)
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            text = "process groups are signalled by number: this kernel is older than Linux 6.9"
            return Finding("signals", Level.OK, text)
    finally:
        os.close(pidfd)
    return Finding("signals", Level.OK, "process groups are signalled by pidfd")


def _state_dir(path: Path) -> Iterator[Finding]:
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        yield Finding("state directory", Level.FAILURE, f"{there} is no directory")
        return
    if fault := _cannot_write(there):
        yield Finding("state directory", Level.FAILURE, f"{there} cannot be used: {fault}")
        return
    mode = path.stat().st_mode if there == path else 0
    if mode & 0o022:
        text = f"{path} can be written by others (mode {mode & 0o777:o})"
        yield Finding("state directory", Level.WARNING, text)
    else:
        will_be = "" if there == path else ", which will be made"
        yield Finding("state directory", Level.OK, f"{path}{will_be}")
    disk = os.statvfs(there)
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    text = f"{free / GIB:.1f} GiB of {size / GIB:.1f} GiB are free"
    low = Level.WARNING if free < GIB else Level.OK
    yield Finding("disk", Level.FAILURE if free < _LEAST_DISK else low, text)


def _cannot_write(directory: Path) -> str | None:
    """Why no file can be made and read there; tried with one that has no name."""
    try:
        next(directory.iterdir(), None)
        with TemporaryFile(dir=directory) as file:
            file.write(bytes(_PAGE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        return exc.strerror
    return None


def _journal(state_dir: Path) -> Iterator[Finding]:
    """What a server would say of it that starts there. It is read from one end to the other."""
    path, logs = state_dir / "journal.db", state_dir / "logs"
    # First the logs: a run is in the journal before it has one.
    names = sorted(log.stem for log in logs.glob("*.log"))
    try:
        refuse_a_lost_journal(path, logs)
        if path.exists():
            known = check_journal(path)
            yield Finding("journal", Level.OK, f"{path} is whole")
            yield from _strangers([name for name in names if name not in known])
    except StateDirError as exc:
        yield Finding("journal", Level.FAILURE, exc.message)
    except OSError as exc:
        yield Finding("journal", Level.FAILURE, f"{path} cannot be read: {exc.strerror}")


def _strangers(names: Sequence[str]) -> Iterator[Finding]:
    """Logs of runs that the journal does not know, as where an older one was put in place."""
    if names:
        text = f"of no run that the journal knows: {len(names)}, such as {names[0]}"
        yield Finding("logs", Level.WARNING, f"{text}; it is older than they are")


def _open_files(max_running: int) -> Finding:
    """A server raises its own soft limit to the hard one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = (hard - _OWN_DESCRIPTORS) // DESCRIPTORS_A_RUN
    if room < 1:
        return Finding("open files", Level.FAILURE, f"{hard}: not enough for one run")
    if room < max_running:
        text = f"{hard}: enough for {room} runs, and max_running is {max_running}"
        return Finding("open files", Level.WARNING, text)
    return Finding("open files", Level.OK, f"{hard}, enough for {max_running} runs and viewers")


def _processes(max_running: int) -> Finding:
    """RLIMIT_NPROC (getrlimit(2)) counts all processes of the user, and not those of root."""
    limit, _hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if os.geteuid() == 0 or limit == resource.RLIM_INFINITY:
        return Finding("processes", Level.OK, "no limit for this user")
    low = limit < 2 * max_running
    text = f"{limit} for this user" + (f", and max_running is {max_running}" if low else "")
    return Finding("processes", Level.WARNING if low else Level.OK, text)


def _pipes(max_running: int) -> Finding:
    """Beyond the user's budget (pipe(7)) a new pipe holds a page or two instead of sixteen."""
    soft = 0
    with suppress(OSError, ValueError):
        soft = int(Path("/proc/sys/fs/pipe-user-pages-soft").read_text("ascii"))
    if os.geteuid() == 0 or soft == 0:
        return Finding("pipes", Level.OK, "no budget for this user")
    room = soft // (2 * _PIPE_PAGES)
    text = f"{soft * _PAGE // KIB} KiB for this user, whole pipes for {room} runs"
    if room < max_running:
        text += f", and max_running is {max_running}: programs that write much then wait more often"
        return Finding("pipes", Level.WARNING, text)
    return Finding("pipes", Level.OK, text)


def _clock(state_dir: Path) -> Finding:
    now = datetime.now(UTC)
    last = 0.0
    for name in ("journal.db", "journal.db-wal"):
        with suppress(OSError):
            last = max(last, (state_dir / name).stat().st_mtime)
    written = datetime.fromtimestamp(last, UTC)
    if last > now.timestamp() + 1:
        text = f"it is {now:%Y-%m-%d %H:%M:%S} UTC, and the journal is from {written:%Y-%m-%d %H:%M:%S}: the clock was set back. Durations and limits do not depend on it, times in records do"
        return Finding("clock", Level.WARNING, text)
    return Finding("clock", Level.OK, f"{now:%Y-%m-%d %H:%M:%S} UTC")
