"""The facade: what the web server, and so every client, can ask for, and the errors it gets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import service
from supervisor.errors import (
    BadRequest,
    BadValue,
    NoSuchJob,
    NoSuchRun,
    RunEnded,
    RunNotEnded,
    StorageUnavailable,
)
from supervisor.log import logfile
from supervisor.log.logwriter import LogWriter
from supervisor.model import SYSTEM, Status, Stream
from supervisor.runquery import RunQuery
from supervisor.spec import Job, Param, ParamKind
from supervisor.testing import (
    PROGRAM,
    TESTER,
    FakeExecutor,
    Rig,
    open_rig,
    submit,
    wait_for,
)
from supervisor.testing.rig import read_log
from supervisor.wire import CancelRequest, SignalRequest, SubmitRequest
from tests.patience import PATIENCE_S

JOBS = {
    "greet": Job(
        name="greet",
        command=(PROGRAM, "write stdout hello {whom}"),
        cwd="/",
        params={"whom": Param(type=ParamKind.STRING, default="world")},
        tags=("friendly",),
    ),
    "always": Job(name="always", command=(PROGRAM, "wait 1000"), cwd="/", autostart=True),
}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A supervisor with two jobs, on the fake executor, fit for a virtual clock."""
    async with open_rig(tmp_path, FakeExecutor(), jobs=JOBS, inline=True) as rig:
        yield rig


# --- submitting ----------------------------------------------------------------------------------


async def test_a_job_is_submitted_with_its_parameters(rig: Rig) -> None:
    request = SubmitRequest(job="greet", params={"whom": "all"}, tags=("now",))
    run, new = await rig.supervisor.submit(request, TESTER)
    assert new
    assert (run.status, run.created_by, run.spec.job) == (Status.QUEUED, TESTER, "greet")
    assert run.spec.tags == ("friendly", "now")
    assert (await rig.supervisor.wait_ended(run.id)).status is Status.SUCCEEDED
    assert rig.output(run.id) == b"hello all"


async def test_what_was_answered_is_on_disk(rig: Rig) -> None:
    """Before anybody is told of it, and every status as well."""
    run = await submit(rig.supervisor, "exit 0")
    assert await rig.journal.get(run.id) == run
    while True:
        shown = await rig.supervisor.get(run.id)
        assert (await rig.journal.get(run.id)).status is shown.status
        if shown.status.ended:
            break
        await rig.supervisor.changed.wait()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (SubmitRequest(job="nope"), NoSuchJob),
        (SubmitRequest(), BadRequest),
        (SubmitRequest(job="greet", command=("x",)), BadRequest),
        (SubmitRequest(job="greet", params={"who": "x"}), BadValue),
        (SubmitRequest(command=("x",), id="../x"), BadValue),
        (SubmitRequest(command=("x",), id=""), BadValue),
        (SubmitRequest(command=()), BadValue),
    ],
)
async def test_a_bad_request_starts_nothing(
    rig: Rig, request_: SubmitRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await rig.supervisor.submit(request_, TESTER)
    assert (await rig.supervisor.list_runs(RunQuery())).runs == ()


async def test_a_retry_is_a_run_of_its_own(rig: Rig) -> None:
    """Of the spec that was resolved then, counted from the first attempt."""
    first = await submit(rig.supervisor, "exit 3")
    with pytest.raises(RunNotEnded):
        await rig.supervisor.retry(first.id, TESTER)
    await rig.supervisor.wait_ended(first.id)
    second = await rig.supervisor.retry(first.id, TESTER)
    await rig.supervisor.wait_ended(second.id)
    third = await rig.supervisor.retry(second.id, TESTER)
    await rig.supervisor.wait_ended(third.id)
    assert third.spec == first.spec
    assert [(run.attempt, run.retry_of) for run in (first, second, third)] == [
        (1, None),
        (2, first.id),
        (3, first.id),
    ]
    with pytest.raises(NoSuchRun):
        await rig.supervisor.retry("nope", TESTER)


# --- cancel, signal, delete ----------------------------------------------------------------------


async def test_what_ended_otherwise_cannot_be_cancelled(rig: Rig) -> None:
    run = await submit(rig.supervisor, "exit 0")
    await rig.supervisor.wait_ended(run.id)
    with pytest.raises(RunEnded, match="already succeeded"):
        await rig.supervisor.cancel(run.id, CancelRequest(), TESTER)
    with pytest.raises(NoSuchRun):
        await rig.supervisor.cancel("nope", CancelRequest(), TESTER)


async def test_a_cancel_may_name_its_signal(rig: Rig) -> None:
    run = await submit(rig.supervisor, "write stdout x", "wait 100")
    await wait_for(rig.supervisor, run.id, Status.RUNNING)
    await wait_all_tasks_blocked()
    with pytest.raises(BadValue) as caught:
        await rig.supervisor.cancel(run.id, CancelRequest(signal="NOPE"), TESTER)
    assert caught.value.field == "signal"
    await rig.supervisor.cancel(run.id, CancelRequest(signal="SIGINT"), TESTER)
    ended = await rig.supervisor.wait_ended(run.id)
    assert (ended.status, ended.signal) == (Status.CANCELLED, "INT")


async def test_a_signal_changes_no_status(rig: Rig, autojump_clock: MockClock) -> None:
    run = await submit(rig.supervisor, "ignore USR1", "write stdout x", "wait 100")
    with pytest.raises(RunEnded):
        await rig.supervisor.running.signal(
            run.id, SignalRequest("USR1"), TESTER
        )  # not started yet
    await wait_for(rig.supervisor, run.id, Status.RUNNING)
    await wait_all_tasks_blocked()
    told = await rig.supervisor.running.signal(run.id, SignalRequest("SIGUSR1"), TESTER)
    assert (told.status, told.stop) == (Status.RUNNING, None)
    event = (await rig.supervisor.events(run.id))[-1].entry
    assert (type(event.event).__name__, event.by) == ("Signalled", TESTER)
    with pytest.raises(BadValue):
        await rig.supervisor.running.signal(run.id, SignalRequest("x"), TESTER)
    ended = await rig.supervisor.wait_ended(run.id)
    assert ended.status is Status.SUCCEEDED
    with pytest.raises(RunEnded):
        await rig.supervisor.running.signal(run.id, SignalRequest("USR1"), TESTER)
    with pytest.raises(NoSuchRun):
        await rig.supervisor.running.signal("nope", SignalRequest("USR1"), TESTER)


async def test_only_an_ended_run_is_deleted_with_its_log(
    rig: Rig, autojump_clock: MockClock
) -> None:
    run = await submit(rig.supervisor, "write stdout x", "wait 10")
    with pytest.raises(RunNotEnded):
        await rig.supervisor.delete(run.id, TESTER)
    await rig.supervisor.wait_ended(run.id)
    assert len(list(rig.state.logs.iterdir())) == 2
    await rig.supervisor.delete(run.id, TESTER)
    assert list(rig.state.logs.iterdir()) == []
    for ask in (rig.supervisor.get, rig.supervisor.events, rig.supervisor.wait_ended):
        with pytest.raises(NoSuchRun):
            await ask(run.id)
    with pytest.raises(NoSuchRun):
        await rig.supervisor.delete(run.id, TESTER)


async def test_who_still_looks_at_a_deleted_run_does_not_bring_its_log_back(rig: Rig) -> None:
    """Neither for itself nor for another under its id."""
    await submit(rig.supervisor, "write stdout old", id="again")
    run = await rig.supervisor.wait_ended("again")
    await rig.supervisor.delete("again", TESTER)
    with pytest.raises(NoSuchRun):
        rig.supervisor.open_log(run)
    assert list(rig.state.logs.iterdir()) == []
    await submit(rig.supervisor, "write stdout n", id="again")
    await rig.supervisor.wait_ended("again")
    with pytest.raises(NoSuchRun):
        rig.supervisor.open_log(run)


async def test_who_looks_at_a_run_while_it_is_deleted_is_told_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log goes first, which is no trouble with the storage."""
    run = await submit(rig.supervisor, "write stdout x")
    run = await rig.supervisor.wait_ended(run.id)
    really_remove = logfile.remove_log

    def remove_and_look(directory: Path, run_id: str) -> None:
        with rig.supervisor.open_log(run) as view:
            assert view.size == 1
        logfile.index_path(directory, run_id).unlink()
        with pytest.raises(NoSuchRun):
            rig.supervisor.open_log(run)
        really_remove(directory, run_id)
        with pytest.raises(NoSuchRun):
            rig.supervisor.open_log(run)

    monkeypatch.setattr(service, "remove_log", remove_and_look)
    await rig.supervisor.delete(run.id, TESTER)


async def test_a_second_delete_does_not_reach_the_next_run_of_that_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late the thread is that removes the log."""
    removing, go_on = trio.Event(), trio.Event()

    def remove_late(logs: Path, run_id: str) -> None:
        if not removing.is_set():
            trio.from_thread.run_sync(removing.set)
            trio.from_thread.run(go_on.wait)
        logfile.remove_log(logs, run_id)

    monkeypatch.setattr(service, "remove_log", remove_late)
    refused: list[NoSuchRun] = []
    with trio.fail_after(PATIENCE_S):
        async with open_rig(tmp_path, FakeExecutor()) as rig, trio.open_nursery() as nursery:
            await rig.supervisor.wait_ended((await submit(rig.supervisor, id="again")).id)

            async def delete() -> None:
                try:
                    await rig.supervisor.delete("again", TESTER)
                except NoSuchRun as exc:
                    refused.append(exc)

            async def delete_and_submit() -> None:
                await delete()
                again = await submit(rig.supervisor, "write stdout new", id="again")
                await rig.supervisor.wait_ended(again.id)
                go_on.set()

            nursery.start_soon(delete)
            await removing.wait()
            nursery.start_soon(delete_and_submit)
            await wait_all_tasks_blocked(0.3)  # it gets as far as it can
            go_on.set()
        assert len(refused) == 1
        assert read_log(tmp_path / "logs", "again") == b"new"


async def test_a_run_that_waits_has_nothing_of_the_log_that_another_left(rig: Rig) -> None:
    """As where an older journal was put in place, which does not know that one."""
    for _ in range(4):
        await submit(rig.supervisor, "wait 1000")
    log = LogWriter.create(rig.state.logs, "again")
    log.append(b"of another", Stream.STDOUT)
    log.close()
    run = await submit(rig.supervisor, "write stdout own", id="again")
    with rig.supervisor.open_log(run) as view:
        assert view.reader.size == 0
    assert (rig.state.logs / "again.log.foreign").read_bytes() == b"of another"


async def test_the_id_of_a_deleted_run_is_free_for_another(rig: Rig) -> None:
    """Which gets a log of its own."""
    await submit(rig.supervisor, "write stdout old", id="again")
    await rig.supervisor.wait_ended("again")
    await rig.supervisor.delete("again", TESTER)
    await submit(rig.supervisor, "write stdout new", id="again")
    await rig.supervisor.wait_ended("again")
    assert rig.output("again") == b"new"


# --- looking -------------------------------------------------------------------------------------


async def test_a_viewer_sees_everything_once_and_then_the_end(
    rig: Rig, autojump_clock: MockClock
) -> None:
    """By the loop that `LogView` describes, from before the start."""
    run = await submit(rig.supervisor, *["write stdout a", "wait 1", "write stderr b"] * 20)
    seen: list[tuple[Stream, bytes]] = []
    with rig.supervisor.open_log(run) as view:
        offset = 0
        while True:
            complete = view.complete
            for piece in view.reader.read(offset, 1 << 16):
                assert piece.offset == offset
                offset = piece.next
                seen.append((piece.stream, piece.data))  # type: ignore[union-attr]
            if offset == view.reader.size:
                if complete:
                    break
                await view.changed.wait()
    assert b"".join(data for _stream, data in seen) == b"ab" * 20
    ended = await rig.supervisor.wait_ended(run.id)
    assert ended.log_size == 40
    info = rig.supervisor.log_info(ended)
    assert (info.size, info.oldest) == (40, 0)


async def test_events_of_all_runs_come_in_order(rig: Rig) -> None:
    before = rig.supervisor.last_seq
    for _ in range(3):
        await rig.supervisor.wait_ended((await submit(rig.supervisor, "exit 0")).id)
    events = await rig.supervisor.events_since(before, 1000)
    assert [event.seq for event in events] == list(range(before + 1, before + 13))
    assert rig.supervisor.last_seq == before + 12


async def test_jobs_are_told_with_their_last_run(rig: Rig) -> None:
    assert [job.name for job in rig.supervisor.jobs()] == ["greet", "always"]
    assert rig.supervisor.job("greet").tags == ("friendly",)
    with pytest.raises(NoSuchJob):
        rig.supervisor.job("nope")
    run, _new = await rig.supervisor.submit(SubmitRequest(job="greet"), TESTER)
    assert {name: run.id for name, run in (await rig.supervisor.last_runs()).items()} == {
        "greet": run.id
    }


async def test_who_is_to_start_with_the_server_starts_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    executor = FakeExecutor()
    directory = tmp_path / "state"
    with trio.CancelScope() as fall:
        async with open_rig(directory, executor, jobs=JOBS, max_running=1, inline=True) as rig:
            await submit(rig.supervisor, "wait 1000")
            assert await rig.supervisor.autostart() == []
            assert await rig.supervisor.autostart() == []
            assert rig.supervisor.counts() == (1, 1)
            fall.cancel()
            await trio.sleep_forever()
    async with open_rig(directory, executor, jobs=JOBS, inline=True) as rig:
        await rig.supervisor.autostart()
        page = await rig.supervisor.list_runs(RunQuery(job="always"))
        assert [run.created_by for run in page.runs] == [SYSTEM]
    broken = {"bad": Job(name="bad", command=("",), cwd="/", autostart=True)}
    async with open_rig(tmp_path / "other", executor, jobs=broken, inline=True) as rig:
        (trouble,) = await rig.supervisor.autostart()
        assert trouble.startswith("job bad cannot be started: ")


async def test_readiness_is_told(rig: Rig, autojump_clock: MockClock) -> None:
    assert await rig.supervisor.check_ready() == []
    await rig.supervisor.stop_all()
    assert await rig.supervisor.check_ready() == ["the server is shutting down"]


# --- a disk that is really full -------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.root
async def test_a_full_disk_loses_nothing_and_invents_nothing(small_disk: Path) -> None:
    """Submits are refused, a stop works, output waits; it all goes on when there is room."""
    executor = FakeExecutor()
    async with open_rig(small_disk, executor, max_running=2) as rig:
        with trio.fail_after(120):
            go = small_disk / "go"
            writer = await submit(
                rig.supervisor, "write stdout first,", f"await {go}", "write stdout second"
            )
            other = await submit(rig.supervisor, "wait 1000")
            for run in (writer, other):
                await wait_for(rig.supervisor, run.id, Status.RUNNING)
            filler = small_disk / "filler"
            fill(filler, go)
            with pytest.raises(StorageUnavailable):
                await submit_for_ever(rig)
            with pytest.raises(StorageUnavailable):
                await rig.supervisor.cancel(other.id, CancelRequest(), TESTER)
            while executor.processes() > 1:
                await trio.lowlevel.checkpoint()
            assert any("journal" in line for line in await rig.supervisor.check_ready())
            assert (await rig.supervisor.get(writer.id)).status is Status.RUNNING
            filler.unlink()
            assert (await rig.supervisor.wait_ended(other.id)).status is Status.CANCELLED
            assert (await rig.supervisor.wait_ended(writer.id)).status is Status.SUCCEEDED
            assert rig.output(writer.id) == b"first,second"
            assert await rig.supervisor.check_ready() == []


async def submit_for_ever(rig: Rig) -> None:
    """The journal may still have room within its own file, so one may not be enough."""
    while True:
        run = await submit(rig.supervisor, "exit 0")
        await rig.supervisor.wait_ended(run.id)


def fill(filler: Path, last: Path) -> None:
    """Take all the room there is, but for the name of one more file."""
    last.with_name("spare").touch()
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    last.with_name("spare").rename(last)
