"""As whom a run executes: names become numbers, and what only root may do is known beforehand.

The databases are asked (getpwnam(3), getgrouplist(3)), which may take its time where they are
elsewhere: call this in a thread.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping, Sequence

from msgspec import Struct

from supervisor.conditions import Conditions
from supervisor.errors import BadValue
from supervisor.processes.capabilities import CAP_SETGID, CAP_SETUID, has_capability


class Identity(Struct, frozen=True):
    """A user and groups as the kernel knows them; `account` is what the environment says of it."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    account: Mapping[str, str]

    @property
    def is_own(self) -> bool:
        """Whether this process is that already."""
        ids = os.geteuid(), os.getegid(), set(os.getgroups()) | {os.getegid()}
        return ids == (self.uid, self.gid, {*self.groups, self.gid})


def find_identity(conditions: Conditions) -> Identity | None:
    """As whom a run is to execute; None if that is as this process itself.

    Raises BadValue, for `user` or `supplementary_groups`, if there is no such user or group.
    """
    if conditions.user is None and not conditions.supplementary_groups:
        return None
    name, _, group = (conditions.user or "").partition(":")
    entry = _find_user(name) if name else None
    if entry is None and name and not group:
        raise BadValue(
            f'user {name} has no entry; name its group as well: "{name}:GROUP"', field="user"
        )
    uid = entry.pw_uid if entry else int(name) if name else os.geteuid()
    gid = _find_group(group, "user") if group else entry.pw_gid if entry else os.getegid()
    groups = _groups_of(entry, gid) if name else os.getgroups()
    more = [_find_group(it, "supplementary_groups") for it in conditions.supplementary_groups]
    return Identity(uid, gid, tuple(sorted({*groups, *more})), _account(entry))


def check_may_be(identity: Identity | None) -> None:
    """Raise BadValue for `user` if this process may not start anything as that."""
    if identity is None or identity.is_own:
        return
    if has_capability(CAP_SETUID) and has_capability(CAP_SETGID):
        return
    raise BadValue(
        "a run as another user, or in other groups, can only be started by a server that runs as "
        f"root, and this is user {os.geteuid()}",
        field="user",
    )


def _find_user(name: str) -> pwd.struct_passwd | None:
    """The entry of a name or a number; None for a number that has none."""
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if name.isdecimal():
            return None
        raise BadValue(f'there is no user "{name}" here', field="user") from None


def _find_group(name: str, field: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise BadValue(f'there is no group "{name}" here', field=field) from None


def _groups_of(entry: pwd.struct_passwd | None, gid: int) -> Sequence[int]:
    return [gid] if entry is None else os.getgrouplist(entry.pw_name, gid)


def _account(entry: pwd.struct_passwd | None) -> dict[str, str]:
    """What login(1) would put into its environment."""
    if entry is None:
        return {}
    return {
        "HOME": entry.pw_dir or "/",
        "LOGNAME": entry.pw_name,
        "SHELL": entry.pw_shell or "/bin/sh",
        "USER": entry.pw_name,
    }
