"""What a run reads from and writes to, as jobs.toml or a request says it. Pure."""

from __future__ import annotations

from supervisor.errors import BadValue
from supervisor.spec import OutputMode
from supervisor.suggest import did_you_mean


def check_output(value: object) -> OutputMode:
    """An output mode by its name. Raises BadValue."""
    if value not in list(OutputMode):
        hint = did_you_mean(value, OutputMode) if isinstance(value, str) else ""
        raise BadValue(f"{value!r} is none of {', '.join(OutputMode)}{hint}")
    return OutputMode(str(value))
