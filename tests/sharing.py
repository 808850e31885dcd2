"""How several processes share the whole suite: `./dev test` and `./dev check` have them do so."""

from __future__ import annotations

import os

from xdist.scheduler import LoadScopeScheduling

# Their tests share machines, or an environment, that take long to make, and so are for one process.
# Most of them wait for most of their time: they are begun with, and the others work meanwhile.
TOGETHER = ("tests/systemd/", "tests/tools/test_environment.py")


class Sharing(LoadScopeScheduling):
    """Hands out the tests one by one, but each of TOGETHER at once; the larger ones first."""

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in TOGETHER if nodeid.startswith(place)), nodeid)


# With more it has not been tried, and they would wait for one another's browsers and machines.
MOST = 2


def processes() -> int:
    """How many share it; 0 if it is not worth to."""
    processors = len(os.sched_getaffinity(0))
    return min(processors, MOST) if processors > 1 else 0
