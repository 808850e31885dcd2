"""A backup that is made while everything changes is whole in itself."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import trio

from supervisor.backup import MARK, Backup, back_up, restore
from supervisor.clock import now
from supervisor.errors import StateDirError, StorageUnavailable
from supervisor.journal import Journal, copying, open_journal
from supervisor.lifecycle import advance
from supervisor.log.logfile import Chunk, LogReader, remove_log
from supervisor.log.logwriter import LogWriter
from supervisor.log.trimming import trim
from supervisor.model import SYSTEM, Dispatched, Entry, Started, Stream, Submitted, Succeeded
from supervisor.outcome import Exited
from supervisor.runquery import RunQuery
from supervisor.spec import RunSpec
from supervisor.statedir import open_state_dir
from supervisor.units import KIB

LINE = b"%07d\n"
PART = b"".join(LINE % number for number in range(8 * KIB))
RUN = RunSpec(argv=("true",), cwd="/")


async def live(journal: Journal, logs: Path, run_id: str) -> None:
    """A run from its first event to its last, with output that gives its beginning back."""
    run = (await journal.create(Entry(run_id, now(), SYSTEM, Submitted(RUN)))).run
    for event in (Dispatched("local"), Started(None)):
        entry = Entry(run_id, now(), SYSTEM, event)
        run = advance(run, entry)
        await journal.record(run, entry)
    log = LogWriter.create(logs, run_id)
    for start in range(0, len(PART), 8 * KIB):
        log.append(PART[start : start + 8 * KIB], Stream.STDOUT)
        if start == 32 * KIB:
            await trio.to_thread.run_sync(trim, logs, run_id, 16 * KIB)
        await trio.lowlevel.checkpoint()
    log.close()
    entry = Entry(run_id, now(), SYSTEM, Succeeded(outcome=Exited(exit_code=0)), log.size)
    await journal.record(advance(run, entry), entry)


async def live_and_be_deleted(journal: Journal, logs: Path, name: str) -> None:
    """Ever new runs, of which every second one is forgotten."""
    number = 0
    while True:
        number += 1
        run_id = f"{name}-{number}"
        await live(journal, logs, run_id)
        if number % 2:
            await trio.to_thread.run_sync(remove_log, logs, run_id)
            await journal.delete(run_id)


def bytes_of(logs: Path, run_id: str) -> tuple[int, bytes]:
    """Where a log begins, and all that can be read of it."""
    data = b""
    with LogReader.open(logs, run_id) as reader:
        oldest = at = reader.oldest
        while at < reader.size:
            for piece in reader.read(at, 64 * KIB):
                at = piece.next
                data += piece.data if isinstance(piece, Chunk) else b"gap"
    return oldest, data


async def test_every_run_in_it_has_its_log(tmp_path: Path) -> None:
    with trio.fail_after(120), open_state_dir(tmp_path / "state") as state:
        async with open_journal(state.journal) as journal, trio.open_nursery() as nursery:
            await live(journal, state.logs, "first")
            for name in "abc":
                nursery.start_soon(live_and_be_deleted, journal, state.logs, name)
            for number in range(5):
                target = tmp_path / f"backup{number}"
                made = await trio.to_thread.run_sync(back_up, state.path, target)
                await check(target, made.runs)
            nursery.cancel_scope.cancel()


async def check(target: Path, runs: int) -> None:
    async with open_journal(target / "journal.db") as copy:
        page = await copy.list_runs(RunQuery(limit=1000))
    assert "first" in {run.id for run in page.runs}
    assert len(page.runs) == runs
    for run in page.runs:
        oldest, data = bytes_of(target / "logs", run.id)
        assert data == PART[oldest : oldest + len(data)]
        if run.status.ended:
            assert (oldest, oldest + len(data)) == (16 * KIB, run.log_size)


async def test_a_run_of_which_only_the_log_is_deleted_yet_is_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_for = trio.Event()
    monkeypatch.setattr(copying, "DELETION_S", 100.0)
    monkeypatch.setattr(time, "sleep", lambda _s: trio.from_thread.run_sync(waited_for.set))
    with trio.fail_after(120), open_state_dir(tmp_path / "state") as state:
        async with open_journal(state.journal) as journal, trio.open_nursery() as nursery:
            for name in ("kept", "deleted"):
                await live(journal, state.logs, name)
            remove_log(state.logs, "deleted")

            async def delete() -> None:
                await waited_for.wait()
                await journal.delete("deleted")

            nursery.start_soon(delete)
            target = tmp_path / "backup"
            made = await trio.to_thread.run_sync(back_up, state.path, target)
            assert made.runs == 1
    async with open_journal(target / "journal.db") as copy:
        assert [run.id for run in (await copy.list_runs(RunQuery())).runs] == ["kept"]


async def test_a_run_that_has_lost_its_log_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "DELETION_S", 0.0)
    with open_state_dir(tmp_path / "state") as state:
        async with open_journal(state.journal) as journal:
            await live(journal, state.logs, "lost")
            remove_log(state.logs, "lost")
            assert back_up(state.path, tmp_path / "backup").runs == 1


async def test_without_room_it_is_not_finished(tmp_path: Path) -> None:
    with open_state_dir(tmp_path / "state") as state:
        async with open_journal(state.journal) as journal:
            await live(journal, state.logs, "first")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16 * KIB, hard))
        try:
            with pytest.raises(StorageUnavailable):
                back_up(state.path, tmp_path / "backup")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(StateDirError, match="not finished"):
        restore(tmp_path / "backup", tmp_path / "other")
    with suppress(FileNotFoundError):
        assert list((tmp_path / "other").iterdir()) == []


async def test_a_backup_of_another_format_is_refused(tmp_path: Path) -> None:
    with open_state_dir(tmp_path / "state") as state:
        async with open_journal(state.journal):
            made = back_up(state.path, tmp_path / "backup")
    newer = msgspec.structs.replace(made, format=2)
    (tmp_path / "backup" / MARK).write_bytes(msgspec.json.encode(newer))
    with pytest.raises(StateDirError, match="newer Runwire"):
        restore(tmp_path / "backup", tmp_path / "other")


@pytest.mark.parametrize("killed_before", [False, True])
async def test_a_restore_that_is_refused_leaves_the_state_as_it_was(
    tmp_path: Path, killed_before: bool
) -> None:
    """Unless an earlier one was killed: then it is still not whole."""
    with open_state_dir(tmp_path / "state") as state:
        async with open_journal(state.journal) as journal:
            await live(journal, state.logs, "first")
            back_up(state.path, tmp_path / "backup")
    with (tmp_path / "backup" / "journal.db").open("r+b") as file:
        file.write(b"damaged " * KIB)
    if killed_before:
        (state.path / "restoring").mkdir()
    with pytest.raises(StateDirError, match="damaged"):
        restore(tmp_path / "backup", state.path, replace=True)
    if killed_before:
        with pytest.raises(StateDirError, match="not finished"), open_state_dir(state.path):
            pass
        return
    with open_state_dir(state.path):
        async with open_journal(state.journal) as journal:
            assert (await journal.get("first")).status.ended
    assert bytes_of(state.logs, "first") == (16 * KIB, PART[16 * KIB :])


async def test_what_a_lost_journal_has_left_beside_it_is_not_taken_for_the_end_of_another(
    tmp_path: Path,
) -> None:
    with open_state_dir(tmp_path / "state") as state:
        async with open_journal(state.journal) as journal:
            await live(journal, state.logs, "kept")
            back_up(state.path, tmp_path / "backup")
            await live(journal, state.logs, "later")
            # As a server that is killed leaves it.
            left = state.journal.with_name("journal.db-wal").read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    (other / "journal.db-wal").write_bytes(left)
    with pytest.raises(StateDirError, match=r"holds a state already \(journal.db-wal\)"):
        restore(tmp_path / "backup", other)
    restore(tmp_path / "backup", other, replace=True)
    with open_state_dir(other) as state:
        async with open_journal(state.journal) as journal:
            assert [run.id for run in (await journal.list_runs(RunQuery())).runs] == ["kept"]
    [aside] = other.glob("replaced-*")
    assert (aside / "journal.db-wal").read_bytes() == left


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_refused_restore_by_root_leaves_nothing_that_keeps_the_server_out(tmp_path: Path) -> None:
    state, source = tmp_path / "state", tmp_path / "backup"
    state.mkdir()
    os.chown(state, 4000, 4000)
    source.mkdir()
    backup = Backup(format=1, runwire="1", created_at=datetime.now(UTC), runs=0, log_bytes=0)
    (source / MARK).write_bytes(msgspec.json.encode(backup))
    with pytest.raises(StorageUnavailable):
        restore(source, state)
    assert {path.stat().st_uid for path in state.iterdir()} == {4000}


def test_a_journal_that_is_just_being_made_is_refused_in_words(tmp_path: Path) -> None:
    with open_state_dir(tmp_path / "state") as state:
        state.journal.touch()
        with pytest.raises(StorageUnavailable, match="cannot be copied"):
            back_up(state.path, tmp_path / "backup")
