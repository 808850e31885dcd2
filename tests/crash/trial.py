"""Kills a server again and again, at each point and at random, and checks its promises."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from msgspec import Struct

from supervisor.errors import RunEnded
from supervisor.wire import CancelRequest
from tests.crash.points import AT_STOP, FIRST_POINTS, POINTS
from tests.crash.promises import Ledger, check_all, check_journal
from tests.crash.server import ENDLESS, PATIENCE_S, Server
from tests.crash.workload import Workload

_LONGEST_LIFE_S = 2.0
_DEATHS_A_ROUND = 10
Way = tuple[str, str]
"""How processes are tracked, and whether they survive the server (see `Mortals.start`)."""
WAYS: Sequence[Way] = (("auto", ""), ("subreaper", ""), ("auto", "tells"), ("auto", "watched"))
"""One is chosen for each round."""
_KILLED = -signal.SIGKILL


class Figures(Struct):
    """What happened in a trial. `broken` is what it is all about."""

    seconds: float = 0.0
    rounds: int = 0
    runs: int = 0
    deleted: int = 0
    ended: Counter[str] = Counter()
    deaths: Counter[str] = Counter()
    """How often it died, by point; `any moment` for those that no point brought about."""
    stops: int = 0
    """How often it was told to stop among all that, and did."""
    broken: tuple[str, ...] = ()


def attempt(
    directory: Path,
    *,
    seed: int,
    seconds: float,
    ways: Sequence[Way] = WAYS,
    tell: Callable[[Figures], None] | None = None,
) -> Figures:
    """Go on for that long, or until a promise is broken. `tell` hears of each round."""
    dice = random.Random(seed)
    figures = Figures(ended=Counter(), deaths=Counter())
    begun = time.monotonic()
    points = _points(dice)
    server = Server(directory)
    ledger = Ledger()
    try:
        while figures.seconds < seconds and not figures.broken:
            figures.rounds += 1
            server.configure(*dice.choice(ways))
            _round(server, ledger, dice, points, figures)
            figures.broken = tuple(ledger.broken)
            figures.seconds = time.monotonic() - begun
            if tell is not None:
                tell(figures)
    finally:
        server.close()
    return figures


def _points(dice: random.Random) -> Iterator[str]:
    """All points in some order, again and again, and any moment between them."""
    while True:
        order = [point for point in POINTS if point not in FIRST_POINTS]
        dice.shuffle(order)
        yield from chain.from_iterable(zip(order, [""] * len(order), strict=True))


def _round(
    server: Server,
    ledger: Ledger,
    dice: random.Random,
    points: Iterator[str],
    figures: Figures,
) -> None:
    """Some lives and deaths under load, then peace, in which everything is checked."""
    workload = Workload(server, ledger, dice, f"r{figures.rounds}")
    for _ in range(_DEATHS_A_ROUND):
        point = next(points)
        alive = server.start(point, dice.choice((1, 1, 1, 2, 4)))
        life_s = _LONGEST_LIFE_S if point else dice.uniform(0, _LONGEST_LIFE_S / 2)
        code = server.wait_died(life_s) if alive else _KILLED
        if code is None:
            server.end(signal.SIGKILL)
            figures.deaths["any moment"] += 1
        elif code == _KILLED:
            figures.deaths[point] += 1
        elif code == 0 and point in AT_STOP:
            figures.stops += 1  # what it was starting had started before it heard of the stop
        else:
            ledger.broken.append(f"it ended by itself, with {code}")
    if not server.start():
        ledger.broken.append("the server does not start any more")
        return
    workload.finish(PATIENCE_S)
    _bring_to_an_end(server, ledger)
    check_all(server, ledger)
    code = server.end(signal.SIGTERM)
    if code != 0:
        ledger.broken.append(f"told to stop, it ended with {code}")
    left = server.wait_none_left()
    ledger.broken += [f"left behind: {pid} {command}" for pid, command in left.items()]
    check_journal(server.state, ledger)
    if "Traceback" in (server.directory / "stderr").read_text("utf-8"):
        ledger.broken.append("a bug was met, see stderr")
    _settle(server, ledger, figures)


def _bring_to_an_end(server: Server, ledger: Ledger) -> None:
    """Cancel what would run for ever, and wait for all others."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        going_on = [run for run in server.runs().values() if not run.status.ended]
        if not going_on:
            return
        for run in going_on:
            known = ledger.runs.get(run.id)
            if known is not None and known.job in ENDLESS:
                known.cancel_asked = True
                with suppress(RunEnded):
                    server.client.cancel(run.id, CancelRequest())
        time.sleep(0.05)


def _settle(server: Server, ledger: Ledger, figures: Figures) -> None:
    """Count what is over, and let go of what was deleted."""
    for run_id, known in list(ledger.runs.items()):
        if run_id.startswith(f"r{figures.rounds}-"):
            figures.runs += 1
            if known.end is not None:
                reason = f" ({known.end.reason})" if known.end.reason else ""
                figures.ended[f"{known.end.status}{reason}"] += 1
        if known.gone:
            figures.deleted += 1
            ledger.forget(run_id)
            (server.directory / run_id).unlink(missing_ok=True)
