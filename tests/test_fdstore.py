"""What is kept of runs for a later server, and what an earlier one has left."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from supervisor.fdstore import FdStore


class Manager:
    """A service manager that hears what it is told when it is asked."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fds: list[int] = []
        self._socket = trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    async def hear(self) -> str:
        """The next message; what came with it is closed later, but for that of a barrier."""
        message, ancillary, _flags, _from = await self._socket.recvmsg(4096, 1024)
        fds = array.array("i")
        for _level, _type, data in ancillary:
            fds.frombytes(data)
        if message == b"BARRIER=1":
            os.close(fds.pop())
        self.fds += fds
        return message.decode()

    async def open(self) -> None:
        """Begin to listen."""
        await self._socket.bind(self.path)

    def close(self) -> None:
        self._socket.close()
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Manager]:
    it = Manager(str(tmp_path / "notify"))
    await it.open()
    yield it
    it.close()


@pytest.fixture
def pipe() -> Iterator[dict[str, int]]:
    """Two descriptors, by role."""
    ends = os.pipe()
    yield {"stdout": ends[0], "stdin": ends[1]}
    for fd in ends:
        with suppress(OSError):
            os.close(fd)


async def test_all_of_a_run_is_kept_by_name_before_it_counts(
    manager: Manager, pipe: dict[str, int]
) -> None:
    store = FdStore(manager.path, 2)
    heard: list[str] = []
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def hear() -> None:
                while "BARRIER=1" not in heard:
                    heard.append(await manager.hear())

            nursery.start_soon(hear)
            assert await store.keep("a.b", pipe)
        assert heard == [
            "FDSTORE=1\nFDPOLL=0\nFDNAME=run-a.b.stdout",
            "FDSTORE=1\nFDPOLL=0\nFDNAME=run-a.b.stdin",
            "BARRIER=1",
        ]
        assert [os.fstat(fd).st_ino for fd in manager.fds] == [
            os.fstat(fd).st_ino for fd in pipe.values()
        ]
        assert not await store.keep("other", pipe)  # there is no room
        store.drop("a.b", "stdin")
        assert await manager.hear() == "FDSTOREREMOVE=1\nFDNAME=run-a.b.stdin"
        store.drop("a.b")
        assert await manager.hear() == "FDSTOREREMOVE=1\nFDNAME=run-a.b.stdout"
        assert store.has_room(2)
    store.close()


async def test_what_is_left_of_a_start_that_was_never_recorded_goes_first(
    manager: Manager, pipe: dict[str, int]
) -> None:
    """Else the next server would find two of a name, and take the dead one for the run."""
    store = FdStore(manager.path, 2, {"run-a.report": os.dup(pipe["stdout"])})
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.keep, "a", pipe)
            heard = [await manager.hear() for _ in range(4)]
    assert heard[0] == "FDSTOREREMOVE=1\nFDNAME=run-a.report"
    assert heard[1].startswith("FDSTORE=1\n")
    assert store.take("a") == {}
    store.close()


async def test_a_manager_that_does_not_confirm_keeps_nothing(
    manager: Manager, pipe: dict[str, int], autojump_clock: trio.testing.MockClock
) -> None:
    store = FdStore(manager.path, 2)
    assert not await store.keep("a", pipe)
    assert store.has_room(2)
    store.close()


async def test_what_does_not_get_through_goes_ahead_of_what_is_kept_next(
    manager: Manager, pipe: dict[str, int]
) -> None:
    left = {f"run-{number}.stdin": os.dup(pipe["stdin"]) for number in range(1000)}
    store = FdStore(manager.path, 2000, left)
    for number in range(1000):  # more than a socket holds
        store.drop(str(number))
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.keep, "new", pipe)
            heard = [await manager.hear() for _ in range(1003)]
    assert heard[:1000] == [f"FDSTOREREMOVE=1\nFDNAME=run-{number}.stdin" for number in range(1000)]
    assert heard[-1] == "BARRIER=1"
    store.close()


def test_what_an_earlier_server_has_left_is_taken_by_run_or_dropped(
    pipe: dict[str, int],
) -> None:
    taken, dropped, unknown = (os.dup(pipe["stdout"]) for _ in range(3))
    store = FdStore(left={"run-a.b.stdout": taken, "run-c.stdin": dropped, "stored": unknown})
    store.drop_others({"a.b"})
    for fd in (dropped, unknown):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    assert store.take("c") == {}
    assert store.take("a.b") == {"stdout": taken}
    os.close(taken)


async def test_without_anybody_nothing_is_kept(tmp_path: Path, pipe: dict[str, int]) -> None:
    assert not await FdStore().keep("a", pipe)
    assert not await FdStore(str(tmp_path / "none"), 10).keep("a", pipe)
