"""As whom a run executes: names and numbers of users and groups, and who may have which."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from supervisor.conditions import Conditions
from supervisor.errors import BadValue
from supervisor.processes.identity import Identity, check_may_be, find_identity

NOBODY = pwd.getpwnam("nobody")
OTHER = grp.getgrgid(1)
UNKNOWN = 4_000_000_001


def test_no_user_is_as_the_server() -> None:
    assert find_identity(Conditions()) is None


@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_a_user_comes_with_group_groups_and_account(user: str) -> None:
    assert find_identity(Conditions(user=user)) == Identity(
        NOBODY.pw_uid,
        NOBODY.pw_gid,
        tuple(sorted(os.getgrouplist("nobody", NOBODY.pw_gid))),
        {
            "HOME": NOBODY.pw_dir,
            "LOGNAME": "nobody",
            "SHELL": NOBODY.pw_shell,
            "USER": "nobody",
        },
    )


@pytest.mark.parametrize("group", [OTHER.gr_name, "1"])
def test_a_group_may_be_another(group: str) -> None:
    identity = find_identity(Conditions(user=f"nobody:{group}"))
    assert identity is not None
    assert (identity.uid, identity.gid) == (NOBODY.pw_uid, 1)
    assert identity.groups == tuple(sorted(os.getgrouplist("nobody", 1)))


def test_a_group_alone_leaves_the_user() -> None:
    identity = find_identity(Conditions(user=":1"))
    assert identity is not None
    assert (identity.uid, identity.gid, identity.account) == (os.geteuid(), 1, {})


def test_supplementary_groups_come_on_top() -> None:
    identity = find_identity(
        Conditions(user="nobody", supplementary_groups=("1", OTHER.gr_name, "7"))
    )
    assert identity is not None
    assert set(identity.groups) == {*os.getgrouplist("nobody", NOBODY.pw_gid), 1, 7}


def test_a_number_without_an_entry_needs_a_group() -> None:
    """Nobody is to find himself in root's group by chance."""
    with pytest.raises(BadValue, match=f'name its group as well: "{UNKNOWN}:GROUP"') as refused:
        find_identity(Conditions(user=str(UNKNOWN)))
    assert refused.value.field == "user"
    identity = find_identity(Conditions(user=f"{UNKNOWN}:1"))
    assert identity == Identity(UNKNOWN, 1, (1,), {})


@pytest.mark.parametrize(
    ("conditions", "field", "message"),
    [
        (Conditions(user="no-such-user"), "user", 'there is no user "no-such-user" here'),
        (Conditions(user="nobody:nope"), "user", 'there is no group "nope" here'),
        (
            Conditions(supplementary_groups=("nope",)),
            "supplementary_groups",
            'there is no group "nope" here',
        ),
    ],
)
def test_what_is_not_there_is_told(conditions: Conditions, field: str, message: str) -> None:
    with pytest.raises(BadValue, match=message) as refused:
        find_identity(conditions)
    assert refused.value.field == field


def test_anybody_may_be_who_they_are() -> None:
    own = Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()), {})
    assert own.is_own
    check_may_be(own)
    check_may_be(None)
