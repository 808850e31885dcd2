"""Who a caller is and what they may do. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from supervisor.errors import BadValue, Forbidden
from supervisor.model import Actor, Run
from supervisor.reach import Reach


class Scope(enum.StrEnum):
    """What a caller may be allowed to do. They are independent; none includes another."""

    RUNS_READ = "runs:read"
    RUNS_SUBMIT = "runs:submit"
    RUNS_EXEC = "runs:exec"
    RUNS_CANCEL = "runs:cancel"
    RUNS_INPUT = "runs:input"
    METRICS_READ = "metrics:read"
    ADMIN = "admin"


_SCOPES = {scope.value: scope for scope in Scope}


class Claims(Struct, frozen=True, kw_only=True):
    """Who a caller is, what they may do, and until when.

    `runs` and `jobs` are globs that narrow it to runs and jobs that match, None for no bound;
    see `Reach`. `expires_at` is None for what never expires. `jti` names the token, if it has a
    name, so that its revocation is noticed.
    """

    actor: Actor
    scopes: frozenset[Scope]
    runs: tuple[str, ...] | None = None
    jobs: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    jti: str | None = None

    @property
    def reach(self) -> Reach:
        """The globs, to filter by."""
        return Reach(self.runs, self.jobs)

    @property
    def narrowed(self) -> bool:
        """Whether there is any run or job out of reach."""
        return self.runs is not None or self.jobs is not None

    def allows(self, scope: Scope) -> bool:
        """Whether they may do what `scope` stands for."""
        return scope in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden, naming `scope`, unless it is theirs."""
        if not self.allows(scope):
            raise Forbidden(f"this needs the scope {scope.value}", scope=scope.value)

    def covers(self, run: Run) -> bool:
        """Whether the run is within their globs. An ad-hoc run has no job for a glob to match."""
        return self.reach.admits(run.id, run.spec.job)

    def covers_job(self, name: str) -> bool:
        """Whether the job is within their globs."""
        return self.reach.admits_job(name)

    def covers_run_id(self, run_id: str | None) -> bool:
        """Whether a new run may have this id; None is one that we choose."""
        return self.runs is None or (run_id is not None and self.reach.admits_id(run_id))


def full_claims(actor: Actor) -> Claims:
    """Claims to everything, for ever."""
    return Claims(actor=actor, scopes=frozenset(Scope))


def known_scopes(words: Iterable[str]) -> frozenset[Scope]:
    """The scopes among `words`; what is none of ours is meant for somebody else."""
    return frozenset(_SCOPES[word] for word in words if word in _SCOPES)


def parse_scope(text: str, *, field: str | None = None) -> frozenset[Scope]:
    """The scopes named in `text`, separated by spaces. Raises BadValue for any other word."""
    words = text.split()
    for word in words:
        if word not in _SCOPES:
            raise BadValue(
                f'there is no scope "{word}"; there are {", ".join(_SCOPES)}', field=field
            )
    return known_scopes(words)


def show_scope(scopes: Iterable[Scope]) -> str:
    """The scopes as a token's claim has them, in the order of `Scope`."""
    held = set(scopes)
    return " ".join(scope for scope in Scope if scope in held)
