"""Old runs are forgotten and old logs given back, and nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from supervisor import clock, retention
from supervisor.errors import NoSuchRun
from supervisor.log.logfile import LogReader
from supervisor.retention import StoredLog, keep_tidy, tidy, too_many
from supervisor.spec import Retention
from supervisor.testing import FakeExecutor, open_rig, submit, wait_until
from supervisor.testing.rig import Rig


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


async def ended(rig: Rig, count: int, *steps: str) -> list[str]:
    """The ids of runs that have ended, oldest first."""
    ids = []
    for _ in range(count):
        run = await submit(rig.supervisor, *steps)
        await rig.supervisor.wait_ended(run.id)
        ids.append(run.id)
    return ids


async def known(rig: Rig, ids: list[str]) -> list[str]:
    """Those of `ids` that are still known."""
    found = []
    for run_id in ids:
        try:
            found.append((await rig.supervisor.get(run_id)).id)
        except NoSuchRun:
            assert not list(rig.state.logs.glob(f"{run_id}.*"))
    return found


async def test_no_more_runs_than_that_stay_known(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """The newest ones, and all that have not ended."""
    async with open_rig(tmp_path, executor, inline=True) as rig:
        running = await submit(rig.supervisor, "wait 1000")
        ids = await ended(rig, 7, "exit 0")
        await tidy(rig.supervisor, Retention(runs=3))
        assert await known(rig, [running.id, *ids]) == [running.id, *ids[-3:]]
        await tidy(rig.supervisor, Retention(runs=3))
        assert await known(rig, ids) == ids[-3:]


async def test_runs_are_forgotten_by_the_time_since_their_end(
    tmp_path: Path,
    executor: FakeExecutor,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_rig(tmp_path, executor, inline=True) as rig:
        old = await ended(rig, 3, "exit 0")
        late = clock.after(clock.now(), 3600)
        monkeypatch.setattr(clock, "now", lambda: late)
        new = await ended(rig, 2, "exit 1")
        await tidy(rig.supervisor, Retention(age_s=3601))
        assert await known(rig, old + new) == old + new
        await tidy(rig.supervisor, Retention(age_s=3590))
        assert await known(rig, old + new) == new


async def test_logs_are_given_back_and_their_runs_stay_known(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    """Of the oldest; a viewer is told, and offsets stay."""
    async with open_rig(tmp_path, executor, inline=True) as rig:
        ids = await ended(rig, 3, "noise stdout 50000 1")
        for age, run_id in enumerate(reversed(ids)):
            os.utime(rig.state.logs / f"{run_id}.log", (10_000 - age, 10_000 - age))
        await tidy(rig.supervisor, Retention(bytes=120_000))
        infos = [rig.supervisor.log_info(await rig.supervisor.get(run_id)) for run_id in ids]
        assert [info.oldest for info in infos] == [50_000, 0, 0]
        assert [info.size for info in infos] == [50_000] * 3
        assert len(rig.output(ids[1])) == 50_000
        assert (rig.state.logs / f"{ids[0]}.log").stat().st_blocks <= 8


async def test_the_log_of_a_new_run_is_not_taken_for_that_of_one_that_was_deleted(
    tmp_path: Path, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one has the same id, and began after the logs were looked at."""
    monkeypatch.setattr(retention, "too_many", lambda stored, _limit, _live: stored)
    async with open_rig(tmp_path, executor, inline=True) as rig:
        run = await submit(rig.supervisor, "noise stdout 50000 1", f"await {tmp_path}/go")
        await wait_until(lambda: rig.supervisor.log_info(run).size == 50_000)
        await tidy(rig.supervisor, Retention(bytes=0))
        with LogReader.open(rig.state.logs, run.id) as reader:
            assert reader.oldest == 0
        (tmp_path / "go").touch()
        await rig.supervisor.wait_ended(run.id)


async def test_a_log_whose_index_cannot_be_read_does_not_keep_others(
    tmp_path: Path, executor: FakeExecutor, autojump_clock: MockClock
) -> None:
    async with open_rig(tmp_path, executor, inline=True) as rig:
        damaged, sound = await ended(rig, 2, "noise stdout 50000 1")
        os.utime(rig.state.logs / f"{damaged}.log", (10_000, 10_000))
        with (rig.state.logs / f"{damaged}.idx").open("r+b") as index:
            index.seek(8)
            index.write(b"\xff\xff")  # of a version that there is not
        await tidy(rig.supervisor, Retention(bytes=0))
        assert rig.supervisor.log_info(await rig.supervisor.get(sound)).oldest == 50_000
        assert (rig.state.logs / f"{damaged}.log").stat().st_blocks > 8


async def test_it_goes_on_by_itself(
    tmp_path: Path, executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_EVERY_S", 0.005)
    async with open_rig(tmp_path, executor) as rig, trio.open_nursery() as nursery:
        rig.supervisor.retention = Retention(runs=1)
        nursery.start_soon(keep_tidy, rig.supervisor)
        ids: list[str] = []
        with trio.fail_after(60):
            for _ in range(2):
                ids += await ended(rig, 2, "exit 0")
                while await known(rig, ids[:-1]):  # noqa: ASYNC110 - nothing tells of it
                    await trio.sleep(0.005)
        assert await known(rig, ids) == ids[-1:]
        nursery.cancel_scope.cancel()


@given(
    sizes=st.lists(st.sampled_from([0, 4096, 8192, 12288, 50_000]), max_size=20),
    limit=st.integers(0, 200_000),
    live=st.sets(st.integers(0, 19)),
)
def test_only_as_many_logs_go_as_have_to(sizes: list[int], limit: int, live: set[int]) -> None:
    logs = [StoredLog(str(number), number, size) for number, size in enumerate(sizes)]
    gone = too_many(logs, limit, {str(number) for number in live})
    left = sum(sizes) - sum(log.disk_bytes for log in gone)
    ended_and_left = [it for it in logs if int(it.run_id) not in live and it not in gone]
    assert left <= limit or not any(log.disk_bytes > 4096 for log in ended_and_left)
    assert not gone or left + gone[-1].disk_bytes > limit
    assert all(
        log.written < other.written
        for log in gone
        for other in ended_and_left
        if other.disk_bytes > 4096
    )
