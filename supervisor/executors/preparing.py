"""What has to be known before a run can be launched: as whom, and in which environment."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from supervisor.conditions import Conditions
from supervisor.config.envfile import load_env_file
from supervisor.errors import BadValue, LaunchError
from supervisor.executors.environment import kept, run_environment
from supervisor.model import Run
from supervisor.processes.conditions import in_numbers
from supervisor.processes.identity import Identity, find_identity
from supervisor.processes.launcher import LaunchRequest
from supervisor.spec import RunSpec, StdinSource


async def prepare(run: Run, inherited: Mapping[str, str], instance: str) -> LaunchRequest:
    """What to launch for `run`; `inherited` is what the server has to pass on of its environment.

    Raises LaunchError in the words of the run's record.
    """
    try:
        identity = await identity_of(run.spec)
    except BadValue as exc:
        raise LaunchError(f"cannot set {exc.field} for it: {exc.message}") from exc
    account = {} if identity is None else identity.account
    inherited = {**kept(inherited, run.spec.inherit_env), **account}
    from_file = {}
    if run.spec.env_file is not None:
        from_file = await trio.to_thread.run_sync(_variables_in, run.spec.env_file)
    return LaunchRequest(
        argv=run.spec.argv,
        env=run_environment(run, inherited, instance, from_file),
        cwd=run.spec.cwd,
        stdin=_file_of(run.spec),
        conditions=in_numbers(run.spec, identity),
    )


def request_of(spec: RunSpec) -> LaunchRequest:
    """What was launched for a run of `spec`, as far as that says why it could not be executed."""
    return LaunchRequest(argv=spec.argv, env=spec.env, cwd=spec.cwd, stdin=_file_of(spec))


async def identity_of(conditions: Conditions) -> Identity | None:
    """As `find_identity`, but nobody waits for a directory of users that is slow."""
    if conditions.user is None and not conditions.supplementary_groups:
        return None
    return await trio.to_thread.run_sync(find_identity, conditions)


def _variables_in(path: str) -> dict[str, str]:
    """What stands in an `env_file`. Raises LaunchError."""
    try:
        return load_env_file(path)
    except OSError as exc:
        raise LaunchError(f'cannot read its env_file "{path}": {exc.strerror}') from exc
    except BadValue as exc:
        raise LaunchError(f'cannot read its env_file "{path}": {exc.message}') from exc


def _file_of(spec: RunSpec) -> str | None:
    """The file that it reads, if it reads one."""
    return spec.stdin.file if isinstance(spec.stdin, StdinSource) else None
