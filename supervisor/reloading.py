"""What a changed jobs.toml means for a server that runs: what takes effect, and what cannot. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, structs

from supervisor.config.settings import Settings
from supervisor.wire import ReloadReport

_TAKES_EFFECT = frozenset({"max_running", "max_log", "retention"})
_NAMES = {"log_limit": "max_log"}


def compare(old: Settings, new: Settings) -> ReloadReport:
    """What becomes of a server with `old` settings that is given `new` ones.

    Runs that were submitted before keep what they were submitted with.
    """
    before, after = old.jobs, new.jobs
    differing = list(_differing("supervisor", old.supervisor, new.supervisor))
    effective = [name for name in differing if name.removeprefix("supervisor.") in _TAKES_EFFECT]
    restart = [name for name in differing if name not in effective]
    restart += _differing("web", old.web, new.web)
    restart += ["auth"] if old.auth != new.auth else []
    return ReloadReport(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in after if name in before and after[name] != before[name]),
        settings=tuple(effective),
        needs_restart=tuple(restart),
        warnings=new.warnings,
    )


def take_effect(old: Settings, new: Settings) -> Settings:
    """The settings of a server that had `old` ones and has read `new` ones."""
    supervisor = structs.replace(
        old.supervisor,
        max_running=new.supervisor.max_running,
        log_limit=new.supervisor.log_limit,
        retention=new.supervisor.retention,
    )
    return structs.replace(old, supervisor=supervisor, jobs=new.jobs, warnings=new.warnings)


def describe(report: ReloadReport) -> str:
    """In one line."""
    parts = [
        f"{word}: {', '.join(names)}"
        for word, names in (
            ("jobs added", report.added),
            ("jobs removed", report.removed),
            ("jobs changed", report.changed),
            ("settings", report.settings),
            ("only with a restart", report.needs_restart),
        )
        if names
    ]
    return "; ".join(parts) or "nothing has changed"


def _differing(table: str, old: Struct, new: Struct) -> Iterator[str]:
    """The keys of a table whose values differ, as jobs.toml names them."""
    for field in structs.fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        name = f"{table}.{_NAMES.get(field.name, field.name.removesuffix('_s'))}"
        if field.name == "limits":
            yield from _differing(name, before, after)
        else:
            yield name
