"""An executor without processes, for tests.

`FakeExecutor` keeps the contract of `supervisor.executors` (one test suite runs over it and over
the real ones) and waits only on Trio's clock, so that a test with an autojump clock takes no time.
Its programs are written in the command itself, one step an argument, so that a run can be stored,
found again after a restart, and carried out from what the journal says:

```
write STREAM TEXT        TEXT to `stdout` or `stderr`, exactly
noise STREAM SIZE SEED   `noise(SIZE, SEED)` to a stream
mark PATH                append "x" to a file: it ran, and how often
wait SECONDS             do nothing for a while
await PATH               do nothing until the file is there
ignore SIGNAL            do nothing about that signal from here on
leave SECONDS            leave a child behind that holds the output
regroup SECONDS          the same in a group of its own
escape SECONDS           the same in a session of its own
exit CODE                end (0 if no step says otherwise)
die SIGNAL               end by a signal
refuse MESSAGE           fake only, first: it cannot be started
crash MESSAGE            fake only, first: the executor has a bug
outlive                  fake only: the server falls and comes back, and from here on it goes on
```

"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import trio

from supervisor import clock
from supervisor.conditions import Conditions
from supervisor.errors import RunEnded, StorageUnavailable
from supervisor.executors import Console, Trace
from supervisor.log.logwriter import LogWriter
from supervisor.model import (
    SYSTEM,
    PauseMeans,
    ProcessRef,
    ProgramExited,
    Resumed,
    Run,
    Signalled,
    Started,
    StopRequest,
    StopStep,
    Stream,
    Tracking,
)
from supervisor.outcome import Exited, Lost, NotStarted, Outcome, StopCause
from supervisor.spec import RunSpec, StopPolicy, StopScope
from supervisor.waits import then_cancel

PROGRAM = "program"
"""What a fake program is called; a run of any other command fails as a missing program does."""
_FIRST_PID = 2**22 + 1
"""Above every pid there can be (proc_sys_kernel_pid_max(5)), so that none is ever hit."""
_HARMLESS = frozenset({"CHLD", "CONT", "URG", "WINCH"})
_PROMPT_S = 0.05
_POLL_S = 0.01
_RETRY_S = 1.0


def program(*steps: str, stop: StopPolicy | None = None, timeout_s: float | None = None) -> RunSpec:
    """The spec of a run that carries out `steps`."""
    return RunSpec(argv=(PROGRAM, *steps), cwd="/", stop=stop or StopPolicy(), timeout_s=timeout_s)


def noise(size: int, seed: int) -> bytes:
    """Bytes of every value, the same for the same arguments."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - it is not meant to be secret


# --- the fake executor ---------------------------------------------------------------------------


class FakeExecutor:
    """Carries out programs that are lists of steps. See the module's text."""

    name = "fake"
    tracking: Tracking | None = None

    def __init__(self, *, drain_s: float = 2.0, intent_first: bool = True) -> None:
        """`drain_s` bounds the wait for output that something left behind still holds."""
        self.intent_first = intent_first
        self.began: list[str] = []
        """Ids of the runs whose program began, in order; one that ran twice stands here twice."""
        self.found: dict[str, Trace] = {}
        """What `find` says of a run, by id; of all others, that they never started."""
        self._drain_s = drain_s
        self._live: dict[str, FakeProcess] = {}
        self._pids = iter(range(_FIRST_PID, 2**31))

    def processes(self) -> int:
        """How many programs are running."""
        return sum(not process.exited.is_set() for process in self._live.values())

    async def check(self, conditions: Conditions) -> None:
        """Nothing is out of its reach."""
        del conditions
        await trio.lowlevel.checkpoint()

    async def execute(self, run: Run, console: Console) -> Outcome:
        """Run it from start to end (see `Executor`)."""
        refusal = _refusal(run.spec)
        if refusal is not None:
            return NotStarted(message=refusal)
        process = FakeProcess(next(self._pids), run.spec.argv[1:])
        if console.stop.request is None:
            await console.record(Started(process.ref))
        if console.stop.request is not None:
            cause = console.stop.request.cause
            return NotStarted(message="stopped before it started", stopped=cause)
        return await self._attend(run, console, process)

    async def find(self, run: Run) -> Trace:
        """What `found` says."""
        await trio.lowlevel.checkpoint()
        return self.found.get(run.id, Trace.NEVER_STARTED)

    async def reattach(self, run: Run, console: Console) -> Outcome:
        """Go on behind `outlive`; a program without that step fell with the server."""
        await trio.lowlevel.checkpoint()
        steps = run.spec.argv[1:]
        if "outlive" not in steps:
            return Lost(message="the server went down while it ran; how it ended is not known")
        process = FakeProcess(next(self._pids), steps[steps.index("outlive") + 1 :])
        if run.started_at is None:
            await console.record(Started(process.ref))
        return await self._attend(run, console, process)

    def forget(self, run_id: str) -> None:
        """Nothing is kept."""

    async def signal(self, run: Run, signal: str, scope: StopScope) -> StopStep:
        """Send one signal. Raises RunEnded if its program has ended."""
        await trio.lowlevel.checkpoint()
        process = self._live.get(run.id)
        if process is None or process.exited.is_set():
            raise RunEnded(f"run {run.id} has no process to signal")
        return process.send_signal(signal, scope)

    async def _attend(self, run: Run, console: Console, process: FakeProcess) -> Exited:
        self.began.append(run.id)
        self._live[run.id] = console.pausing = process
        try:
            return await _FakeWatch(process, console, run.spec, self._drain_s).attend()
        finally:
            del self._live[run.id]


class FakeProcess:
    """A program that consists of steps, and what it leaves behind."""

    def __init__(self, pid: int, steps: Sequence[str]) -> None:
        """It does nothing before `run`."""
        self.ref = ProcessRef(pid=pid, start_ticks=0, boot_id=clock.boot_id())
        self.exited = trio.Event()
        self.exit_code: int | None = None
        self.signal: str | None = None
        self.child_until = self.escapee_until = trio.current_time()
        """Until when (Trio's clock) a child, and one in a session of its own, hold the output."""
        self._steps = steps
        self._ignored: set[str] = set()
        self._life = trio.CancelScope()
        self._going = trio.Event()
        self._going.set()

    @property
    def members(self) -> tuple[int, ...]:
        """The pids of its group: itself, and the child that it left."""
        child = self.child_until > trio.current_time()
        return (self.ref.pid,) * (not self.exited.is_set()) + (self.ref.pid + 1,) * child

    @property
    def paused(self) -> bool:
        """Whether it goes no further than the step that it is at."""
        return not self._going.is_set()

    def pause(self) -> PauseMeans:
        """Go no further than the step that it is at. Raises RunEnded."""
        if self.exited.is_set():
            raise RunEnded("its program has ended, so there is nothing to pause")
        self._going = trio.Event()
        return PauseMeans.SIGNAL

    def resume(self) -> None:
        """Go on."""
        self._going.set()

    async def run(self, console: Console) -> None:
        """From the first step to the end."""
        with self._life:
            for step in self._steps:
                await self._going.wait()
                if not await self._take(step, console):
                    break
        if self.signal is None and self.exit_code is None:
            self.exit_code = 0
        self.exited.set()

    def send_signal(self, signal: str, scope: StopScope = StopScope.TREE) -> StopStep:
        """Deliver `signal` to the group, or to itself alone, and tell who was there."""
        alone = scope is StopScope.MAIN
        members = (self.ref.pid,) * (not self.exited.is_set()) if alone else self.members
        if signal not in _HARMLESS:
            self.child_until = self.child_until if alone else trio.current_time()
            if not self.exited.is_set() and (signal == "KILL" or signal not in self._ignored):
                self._end_by(signal)
        return StopStep(
            at=clock.now().wall,
            signal=signal,
            target=f"process {self.ref.pid}" if alone else f"group {self.ref.pid}",
            pids=members,
            result="sent" if members else "no such process",
        )

    def _end_by(self, signal: str) -> None:
        self.signal = self.signal or signal
        self._life.cancel()

    async def _take(self, step: str, console: Console) -> bool:
        """Carry one step out; False if it was the last one to be reached."""
        verb, _, rest = step.partition(" ")
        match verb:
            case "write" | "noise":
                await _write(console.log, *_output(verb, rest))
            case "wait":
                await trio.sleep(float(rest))
            case "await":
                await _wait_for_file(Path(rest))
            case _:
                self._do(verb, rest)
        await trio.lowlevel.checkpoint()
        return verb != "exit"

    def _do(self, verb: str, rest: str) -> None:
        match verb:
            case "mark":
                with Path(rest).open("a") as file:
                    file.write("x")
            case "ignore":
                self._ignored.add(rest)
            case "leave" | "regroup":
                self.child_until = trio.current_time() + float(rest)
            case "escape":
                self.escapee_until = trio.current_time() + float(rest)
            case "exit":
                self.exit_code = int(rest)
            case "die":
                self._end_by(rest)
            case "outlive":
                pass
            case _:
                raise ValueError(f"a fake program has no step {verb!r}")


class _FakeWatch:
    """One fake run between its first step and its end."""

    def __init__(
        self, process: FakeProcess, console: Console, spec: RunSpec, drain_s: float
    ) -> None:
        self._process = process
        self._console = console
        self._spec = spec
        self._stopped: StopCause | None = None
        self._stop_done = trio.Event()
        self._drain_s = drain_s

    async def attend(self) -> Exited:
        """See it through, as a real executor does."""
        process = self._process
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_when_asked)
            nursery.start_soon(self._ask_stop_in_time)
            await process.run(self._console)
            if self._stopped is not None:
                await self._stop_done.wait()
            else:
                await self._drain()
            killed = process.members
            process.send_signal("KILL")
            nursery.cancel_scope.cancel()
        return Exited(
            exit_code=process.exit_code if process.signal is None else None,
            signal=process.signal,
            stopped=self._stopped,
            output_complete=process.escapee_until <= trio.current_time(),
            killed=killed,
        )

    async def _ask_stop_in_time(self) -> None:
        if self._spec.timeout_s is None:
            return
        await trio.sleep(self._spec.timeout_s)
        if not self._process.exited.is_set():
            request = StopRequest(StopCause.TIMEOUT, self._spec.stop, by=SYSTEM)
            self._console.ask_stop(request)

    async def _stop_when_asked(self) -> None:
        request = await self._console.stop.wait_asked()
        if self._process.exited.is_set():
            return
        self._stopped = request.cause
        if not request.force:
            self._signal(request.policy.signal, request.policy.scope)
            if self._process.paused:
                self._process.resume()
                self._console.note(Resumed())
            async with trio.open_nursery() as nursery:
                nursery.cancel_scope.deadline = trio.current_time() + request.policy.grace_s
                nursery.start_soon(then_cancel, self._console.stop.wait_forced, nursery)
                await self._process.exited.wait()
                if request.policy.scope is StopScope.MAIN:
                    held_s = self._process.child_until - trio.current_time()
                    await trio.sleep(max(0.0, min(held_s, self._drain_s)))
                nursery.cancel_scope.cancel()
        if self._process.members:
            self._signal("KILL")
            await self._process.exited.wait()
        self._stop_done.set()

    def _signal(self, signal: str, scope: StopScope = StopScope.TREE) -> None:
        self._console.note(Signalled(self._process.send_signal(signal, scope), stopping=True))

    async def _drain(self) -> None:
        process = self._process
        held_s = max(process.child_until, process.escapee_until) - trio.current_time()
        if held_s <= _PROMPT_S:
            await trio.sleep(max(0.0, held_s))
            return
        code = process.exit_code if process.signal is None else None
        self._console.note(ProgramExited(code, process.signal))
        with trio.move_on_after(min(held_s, self._drain_s)):
            await self._console.stop.wait_asked()


async def _wait_for_file(path: Path) -> None:
    while not path.exists():  # noqa: ASYNC110, ASYNC240 - nothing tells of a new file
        await trio.sleep(_POLL_S)


def _refusal(spec: RunSpec) -> str | None:
    """Why a program cannot be started, if it cannot. Raises RuntimeError for a bug wanted."""
    verb, _, rest = (spec.argv[1] if len(spec.argv) > 1 else "").partition(" ")
    if verb == "crash":
        raise RuntimeError(rest)
    if verb == "refuse":
        return rest
    if spec.argv[0] != PROGRAM:
        return f'cannot find the program "{spec.argv[0]}"'
    if not Path(spec.cwd).is_dir():
        return f'cannot enter the working directory "{spec.cwd}"'
    return None


def _output(verb: str, rest: str) -> tuple[Stream, bytes]:
    """What `write` and `noise` write, and where."""
    stream, _, text = rest.partition(" ")
    if verb == "write":
        return Stream[stream.upper()], text.encode("utf-8", "surrogateescape")
    size, seed = text.split()
    return Stream[stream.upper()], noise(int(size), int(seed))


async def _write(log: LogWriter, stream: Stream, data: bytes) -> None:
    """Store all of `data`, synced: a thread that did it later would not stop a virtual clock."""
    while data:
        try:
            data = data[log.append(data, stream) :]
            log.sync()
        except StorageUnavailable:
            await trio.sleep(_RETRY_S)
        else:
            await trio.lowlevel.checkpoint()
