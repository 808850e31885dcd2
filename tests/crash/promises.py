"""What was asked and told, and whether the server keeps to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import trio

from supervisor.errors import NoSuchRun
from supervisor.journal import open_journal
from supervisor.lifecycle import advance, begin
from supervisor.log.logfile import log_path
from supervisor.model import Entry, Reason, Status
from supervisor.outcome import StopCause
from supervisor.wire import RunView
from tests.crash.server import LINES, Server

OUTPUT = {
    "brief": (b"0\n", b"0\n"),
    "chatty": (
        b"".join(b"%d\n" % line for line in range(LINES)),
        b"".join(b"%d\n" % line for line in range(0, LINES, 10)),
    ),
    "trimmed": (b"".join(b"%d\n" % line for line in range(10_000)) * 5, b""),
    "held": (b"0\n1\n", b""),
    "long": (b"0\n", b""),
    "screen": (b"0\r\n", b""),
    "stubborn": (b"0\n", b""),
}


class Known:
    """What the clients of one run know of it."""

    def __init__(self, job: str) -> None:
        """It is about to be asked for."""
        self.job = job
        self.acknowledged = False
        self.cancel_asked = False
        self.deletion_asked = False
        self.deleted = False
        self.gone = False
        """Whether the server did not know it when last all were checked."""
        self.ran = False
        """Whether it was seen running."""
        self.end: RunView | None = None
        """As it was first seen after it had ended."""
        self.seen: dict[int, bytes] = {}
        """The bytes of its log that were read, by where they began; each goes on to the next."""

    def reads(self, offset: int, data: bytes) -> None:
        """Note what was read of its log."""
        self.seen[offset] = data


class Ledger:
    """All runs that were ever asked for. To be used by many threads."""

    def __init__(self) -> None:
        """None yet."""
        self.runs: dict[str, Known] = {}
        self.broken: list[str] = []
        self._lock = threading.Lock()

    def expect(self, run_id: str, job: str) -> None:
        """This run is about to be asked for."""
        with self._lock:
            self.runs[run_id] = Known(job)

    def saw(self, run: RunView) -> None:
        """The server has shown this. What it once told of an end, it must always tell."""
        with self._lock:
            known = self.runs.get(run.id)
            if known is None:
                self.broken.append(f"{run.id}: nobody asked for it")
                return
            known.ran = known.ran or run.status is Status.RUNNING
            if known.ran and run.status is Status.QUEUED:
                self.broken.append(f"{run.id}: waits although it has run")
            if known.end is not None and _facts(run) != _facts(known.end):
                self.broken.append(f"{run.id}: told {_facts(known.end)}, now {_facts(run)}")
            if run.status.ended and known.end is None:
                known.end = run

    def ids(self) -> list[str]:
        """All that is known to have been taken in, and not known to be forgotten."""
        with self._lock:
            return [
                run_id
                for run_id, known in self.runs.items()
                if known.acknowledged and not known.deletion_asked
            ]

    def forget(self, run_id: str) -> None:
        """It was checked to be gone, or is of no interest any more."""
        with self._lock:
            del self.runs[run_id]


def _facts(run: RunView) -> tuple[object, ...]:
    return run.status, run.reason, run.exit_code, run.signal, run.ended_at


def check_all(server: Server, ledger: Ledger) -> None:
    """Add to `ledger.broken` whatever does not hold now that nothing goes on any more."""
    shown = server.runs()
    for run in shown.values():
        ledger.saw(run)
    for run_id, known in list(ledger.runs.items()):
        there = shown.get(run_id)
        known.gone = there is None
        faults = [] if there is None else list(_faults(server, there, known))
        if there is None and known.acknowledged and not known.deletion_asked:
            faults.append("acknowledged, and not known any more")
        if there is not None and known.deleted:
            faults.append("deleted, and known again")
        if there is None and log_path(server.state / "logs", run_id).exists():
            faults.append("not known, and its log is there")
        ledger.broken += [f"{run_id} ({known.job}): {fault}" for fault in faults]


def _faults(server: Server, run: RunView, known: Known) -> Iterator[str]:
    written = server.written(run.id)
    if not run.status.ended:
        yield f"has not ended: {run.status}"
    if written not in {"", "b", "be"}:
        yield f"ran more than once: {written}"
    if run.status is Status.SUCCEEDED and written != "be":
        yield f"succeeded, and wrote {written!r}"
    if run.survives_restart and run.reason is Reason.LOST:
        yield f"was to survive, and was lost: {run.message}"
    never_began = run.reason is Reason.START_FAILED and "before it began" in run.message
    if never_began and written:
        yield f"never began, and wrote {written}"
    # A stop goes ahead of its record, and a server that falls between them takes the wish along.
    ours = run.survives_restart and run.signal in {"TERM", "KILL"}
    excused = run.reason is Reason.LOST or never_began or ours
    if run.status is Status.FAILED and not excused:
        yield f"failed by itself: {run.reason} {run.message}"
    if run.status is Status.CANCELLED and not (known.cancel_asked or _stopped_with_server(run)):
        yield f"cancelled, and nobody asked: {run.message}"
    if run.survivors:
        yield f"left processes: {run.survivors}"
    if not known.deletion_asked:
        yield from _lost_bytes(server, run, known)


def _stopped_with_server(run: RunView) -> bool:
    return run.stop is not None and run.stop.cause is StopCause.SHUTDOWN


def _lost_bytes(server: Server, run: RunView, known: Known) -> Iterator[str]:
    # A cancel may end the wait for those that still hold its output when its program has ended.
    whole = run.status is Status.SUCCEEDED and not run.killed
    out, err = OUTPUT[known.job]
    if known.job == "trimmed":
        data = read(server, run.id, run.log.oldest)
        if data != out[run.log.oldest : run.log.size]:
            yield f"its log differs between {run.log.oldest} and {run.log.size}"
        if whole and run.log.size != len(out):
            yield f"its log has {run.log.size} bytes of {len(out)}"
    else:
        data = read(server, run.id, 0)
        for stream, wanted in (("stdout", out), ("stderr", err)):
            told = read(server, run.id, 0, stream)
            if not wanted.startswith(told) or (whole and told != wanted):
                yield f"its {stream} has {len(told)} bytes of {len(wanted)}, or others"
    first = run.log.oldest
    for offset, seen in known.seen.items():
        begin = max(offset, first)
        if data[begin - first : offset + len(seen) - first] != seen[begin - offset :]:
            yield f"bytes from {begin} were read once, and are not the same now"


def read(server: Server, run_id: str, start: int, stream: str | None = None) -> bytes:
    """What its log has now from `start` on."""
    return b"".join(server.client.log(run_id, start=start, stream=stream))


def check_journal(state: Path, ledger: Ledger) -> None:
    """No state is invented: the events of each run, in order, give the run as it is stored."""
    with suppress(NoSuchRun):
        trio.run(_check_journal, state / "journal.db", ledger)


async def _check_journal(path: Path, ledger: Ledger) -> None:
    lives: dict[str, list[Entry]] = {}
    last = 0
    async with open_journal(path) as journal:
        while page := await journal.events_since(last):
            for event in page:
                life = lives.setdefault(event.entry.run_id, [])
                life.append(event.entry)
                if event.run_seq != len(life):
                    ledger.broken.append(f"{event.entry.run_id}: an event is missing")
            last = page[-1].seq
        for run_id, (first, *later) in lives.items():
            stored = await journal.get(run_id)
            run = begin(first, seq=stored.seq)
            for entry in later:
                run = advance(run, entry)
            if run != stored:
                ledger.broken.append(f"{run_id}: its events do not give what is stored")
