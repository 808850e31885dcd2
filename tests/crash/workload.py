"""Clients that submit, watch, cancel, pause and delete while the server dies under them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from supervisor.errors import (
    BadRequest,
    Conflict,
    NoSuchRun,
    NoTerminal,
    RunEnded,
    RunwireError,
    ServerUnreachable,
    ShuttingDown,
)
from supervisor.spec import TerminalSize
from supervisor.wire import CancelRequest, SubmitRequest
from tests.crash.promises import Ledger
from tests.crash.server import ENDLESS, Server

JOBS = ("brief",) * 3 + ("chatty",) * 2 + ("held", "trimmed", "long", "screen", "stubborn")
_CALM = frozenset({"long", "screen"})
_PAUSE_S = 0.01


class Workload:
    """Threads that ask, until `finish`."""

    def __init__(self, server: Server, ledger: Ledger, dice: random.Random, name: str) -> None:
        """`name` begins the ids of the runs that it asks for."""
        self._server = server
        self._ledger = ledger
        self._name = name
        self._over = threading.Event()
        self._count = 0
        tasks = (self._submit, self._watch, self._play, self._stop, self._delete)
        seeds = [dice.randrange(1 << 30) for _ in tasks]
        self._threads = [
            threading.Thread(target=self._go_on, args=(task, random.Random(seed)), daemon=True)
            for task, seed in zip(tasks, seeds, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def finish(self, patience_s: float) -> None:
        """Ask for nothing more; returns once all that was asked is answered."""
        self._over.set()
        for thread in self._threads:
            thread.join(patience_s)
            if thread.is_alive():
                self._ledger.broken.append("a client was not answered")

    def _go_on(self, task: Callable[[random.Random], None], dice: random.Random) -> None:
        while not self._over.is_set():
            try:
                task(dice)
            except (ServerUnreachable, ShuttingDown):
                time.sleep(_PAUSE_S)
            except RunwireError as exc:
                self._ledger.broken.append(f"a client was told {exc.code}: {exc.message}")
            time.sleep(_PAUSE_S * dice.random())

    def _submit(self, dice: random.Random) -> None:
        if len(self._unfinished()) > 20:
            return
        self._count += 1
        run_id, job = f"{self._name}-{self._count}", dice.choice(JOBS)
        self._ledger.expect(run_id, job)
        request = SubmitRequest(job=job, id=run_id)
        while True:  # it may have been taken in, so it is asked for until there is an answer
            with suppress(ServerUnreachable, ShuttingDown):
                run = self._server.client.submit(request).value
                self._ledger.runs[run_id].acknowledged = True
                self._ledger.saw(run)
                return
            time.sleep(_PAUSE_S)

    def _watch(self, dice: random.Random) -> None:
        for run_id in self._some(dice, 3):
            known = self._ledger.runs[run_id]
            try:
                run = self._server.client.run(run_id).value
                self._ledger.saw(run)
                start = dice.randrange(run.log.oldest, run.log.size + 1)
                if known.job == "trimmed":
                    continue  # what is told of it may begin later than was asked
                data = b"".join(self._server.client.log(run_id, start=start))
                known.reads(start, data)
            except (NoSuchRun, BadRequest):  # an offset beyond the end of its log
                if not known.deletion_asked:
                    raise

    def _stop(self, dice: random.Random) -> None:
        for run_id in dice.sample(unfinished := self._unfinished(), min(2, len(unfinished))):
            known = self._ledger.runs[run_id]
            with suppress(Conflict, NoSuchRun):
                if known.job in ENDLESS or dice.random() < 0.05:
                    known.cancel_asked = True
                    force = dice.random() < 0.2
                    with suppress(RunEnded):
                        self._server.client.cancel(run_id, CancelRequest(force=force))
        time.sleep(10 * _PAUSE_S)

    def _play(self, dice: random.Random) -> None:
        """Pause a run and let it go on, and give its terminal another size if it has one."""
        calm = [it for it in self._unfinished() if self._ledger.runs[it].job in _CALM]
        for run_id in dice.sample(calm, min(1, len(calm))):
            client = self._server.client
            with suppress(Conflict, NoSuchRun):
                with suppress(NoTerminal):
                    client.resize(run_id, TerminalSize(rows=dice.randint(2, 90), columns=80))
                client.pause(run_id)
                if dice.random() < 0.8:
                    client.resume(run_id)
        time.sleep(3 * _PAUSE_S)

    def _delete(self, dice: random.Random) -> None:
        ended = [run_id for run_id in self._ledger.ids() if self._ledger.runs[run_id].end]
        if len(ended) > 30:
            run_id = dice.choice(ended)
            known = self._ledger.runs[run_id]
            known.deletion_asked = True
            with suppress(NoSuchRun):
                self._server.delete(run_id)
                known.deleted = True

    def _some(self, dice: random.Random, count: int) -> list[str]:
        ids = self._ledger.ids()[-40:]
        return dice.sample(ids, min(count, len(ids)))

    def _unfinished(self) -> list[str]:
        return [run_id for run_id in self._ledger.ids() if self._ledger.runs[run_id].end is None]
