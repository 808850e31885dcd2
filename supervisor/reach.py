"""Globs over the ids of runs and the names of jobs: which of them a caller can reach. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from supervisor.errors import BadValue

MAX_GLOBS = 64
MAX_GLOB_LENGTH = 128
_GLOB = re.compile(r"[A-Za-z0-9._*?-]+", re.ASCII)


class Reach(Struct, frozen=True):
    """Which runs and jobs a caller can reach; None does not narrow, and both narrow together.

    A run is within reach if its id matches one of `runs` and its job one of `jobs`. An ad-hoc
    run has no job, so that `jobs`, whatever it says, leaves it out.
    """

    runs: tuple[str, ...] | None = None
    jobs: tuple[str, ...] | None = None

    def admits_id(self, run_id: str) -> bool:
        """Whether a run of this id can be within reach."""
        return self.runs is None or _any_matches(self.runs, run_id)

    def admits_job(self, job: str | None) -> bool:
        """Whether this job, or for None what is of no job, is within reach."""
        return self.jobs is None or (job is not None and _any_matches(self.jobs, job))

    def admits(self, run_id: str, job: str | None) -> bool:
        """Whether the run of this id and job is within reach."""
        return self.admits_id(run_id) and self.admits_job(job)


EVERYTHING = Reach()


def check_globs(globs: tuple[str, ...] | None, *, field: str | None = None) -> None:
    """Raise BadValue if there are too many globs, or one of them can match nothing."""
    if len(globs or ()) > MAX_GLOBS:
        raise BadValue(f"at most {MAX_GLOBS} globs are allowed", field=field)
    for glob in globs or ():
        if len(glob) > MAX_GLOB_LENGTH or not _GLOB.fullmatch(glob):
            raise BadValue(
                f"{glob[:MAX_GLOB_LENGTH]!r} is not a glob: '*' stands for any text, '?' for one "
                "character, and names have only letters, digits, '.', '_' and '-'",
                field=field,
            )


def glob_matches(glob: str, text: str) -> bool:
    """Whether `text` as a whole matches `glob`, in at most `len(glob) * len(text)` steps.

    `*` stands for any text, `?` for one character, everything else for itself.
    """
    place = at = 0
    star, resume = -1, 0  # the last star of the glob, and where the text after it was last tried
    while at < len(text):
        if place < len(glob) and glob[place] == "*":
            star, resume = place, at
            place += 1
        elif place < len(glob) and glob[place] in ("?", text[at]):
            place, at = place + 1, at + 1
        elif star >= 0:
            resume += 1
            place, at = star + 1, resume
        else:
            return False
    return not glob[place:].strip("*")


def sqlite_glob(glob: str) -> str:
    """The same glob for SQLite's GLOB operator, in which a bracket would open a set."""
    return glob.replace("[", "[[]")


def _any_matches(globs: Iterable[str], text: str) -> bool:
    return any(glob_matches(glob, text) for glob in globs)
