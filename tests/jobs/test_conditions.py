"""Limits and priorities as people write them, and every value that means nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from supervisor.conditions import Conditions, RunLimits
from supervisor.errors import BadRequest, BadValue
from supervisor.jobs.conditions import (
    LIMITS,
    io_priority,
    read_groups,
    read_ionice,
    read_nice,
    read_umask,
    read_user,
    read_wish,
    show_limits,
)
from supervisor.jobs.resolve import resolve_request
from supervisor.spec import Job
from supervisor.wire import LimitsWish, SubmitRequest


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("memory", "2G", 2**31),
        ("memory", 2**20, 2**20),
        ("cpu", 1.5, 1.5),
        ("cpu", 2, 2.0),
        ("pids", 200, 200),
        ("io_weight", 1, 1),
        ("nofile", 4096, 4096),
        ("core", 0, 0),
        ("stack", "8M", 2**23),
        ("data", "1G", 2**30),
        ("cpu_time", "1h", 3600),
        ("cpu_time", 0.2, 1),
    ],
)
def test_a_limit_is(name: str, value: object, meant: float) -> None:
    assert LIMITS[name](value) == meant


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("memory", "1023K", "must be at least 1M"),
        ("memory", "lots", "is not a size"),
        ("memory", True, "must be a size"),
        ("cpu", 0, "must be from 0.01 to 10000 processors, not 0"),
        ("cpu", "1", "must be a number of processors, such as 1.5, not '1'"),
        ("cpu", True, "must be a number of processors"),
        ("cpu", float("nan"), "must be a number of processors"),
        ("pids", 0, "must be from 1 to"),
        ("pids", 1.5, "must be a whole number from 1 to"),
        ("pids", True, "must be a whole number"),
        ("io_weight", 10_001, "must be from 1 to 10000"),
        ("nofile", 15, "must be from 16 to"),
        ("core", -1, "out of range"),
        ("stack", "1K", "must be at least 128K"),
        ("cpu_time", 0, "must be longer than 0"),
    ],
)
def test_a_limit_is_not(name: str, value: object, message: str) -> None:
    with pytest.raises(BadValue, match=message):
        LIMITS[name](value)


@pytest.mark.parametrize(
    ("ionice", "number"),
    [
        ("idle", 3 << 13),
        ("best-effort", 2 << 13 | 4),
        ("best-effort:7", 2 << 13 | 7),
        ("realtime:0", 1 << 13),
    ],
)
def test_io_priorities_are_the_kernels(ionice: str, number: int) -> None:
    assert io_priority(read_ionice(ionice)) == number


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (read_ionice, "idel", 'there is no I/O class "idel"; did you mean "idle"?'),
        (read_ionice, "idle:1", "is no I/O priority"),
        (read_ionice, "best-effort:8", "is no I/O priority"),
        (read_ionice, 3, "must be a string"),
        (read_nice, 20, "must be from -20 to 19, not 20"),
        (read_nice, "5", "must be a whole number"),
        (read_umask, 22, "octal digits between quotes"),
        (read_umask, "28", "octal digits"),
        (read_umask, "01777", "octal digits"),
        (read_user, "", "must be a user, or a user and a group"),
        (read_user, ":", "must be a user"),
        (read_user, "a b", "must be a user"),
        (read_user, "a:b:c", "must be a user"),
        (read_user, 1000, "must be a user"),
        (read_groups, "video", "must be a list of groups"),
        (read_groups, ["a b"], "cannot be the name of a group"),
        (read_groups, [7], "cannot be the name of a group"),
    ],
)
def test_anything_else_is_refused(
    read: Callable[[object], object], value: object, message: str
) -> None:
    with pytest.raises(BadValue, match=message):
        read(value)


@pytest.mark.parametrize("text", ["build", "build:staff", ":staff", "1000:1000", "DOM+a.b@c"])
def test_a_user_is(text: str) -> None:
    assert read_user(text) == text


def test_groups_are_named_once() -> None:
    assert read_groups(["video", "44", "video"]) == ("video", "44")


@pytest.mark.parametrize("text", ["027", "0027"])
def test_a_umask_is_four_digits(text: str) -> None:
    assert read_umask(text) == "0027"


def test_a_command_may_bring_its_conditions() -> None:
    request = SubmitRequest(
        command=("ls",),
        limits=LimitsWish(memory="1G", nofile=64, cpu_time="90s"),
        nice=5,
        ionice="idle",
        umask="077",
        inherit_env=(),
        env_file="/srv/a.env",
    )
    spec = resolve_request(request, {}, cwd="/")
    assert spec.limits == RunLimits(memory=2**30, nofile=64, cpu_time_s=90)
    assert (spec.nice, spec.ionice, spec.umask) == (5, "idle", "0077")
    assert (spec.inherit_env, spec.env_file) == ((), "/srv/a.env")
    assert read_wish(SubmitRequest(command=("ls",))) == Conditions()


def test_a_wish_that_means_nothing_is_refused_for_its_field() -> None:
    with pytest.raises(BadValue, match="at least 1M") as refused:
        read_wish(SubmitRequest(command=("ls",), limits=LimitsWish(memory="1K")))
    assert refused.value.field == "limits.memory"
    with pytest.raises(BadValue, match="must be a whole path") as refused:
        read_wish(SubmitRequest(command=("ls",), env_file="a.env"))
    assert refused.value.field == "env_file"


def test_a_job_has_its_own_conditions_and_no_request_changes_them() -> None:
    """Who may submit a job may not loosen what bounds it."""
    jobs = {"a": Job(name="a", shell="x", cwd="/", limits=RunLimits(nofile=64), nice=5)}
    spec = resolve_request(SubmitRequest(job="a"), jobs, cwd="/")
    assert (spec.limits, spec.nice) == (RunLimits(nofile=64), 5)
    with pytest.raises(BadRequest, match="a job's nice cannot be changed") as refused:
        resolve_request(SubmitRequest(job="a", nice=1), jobs, cwd="/")
    assert refused.value.field == "nice"
    with pytest.raises(BadRequest, match="a job's limits cannot be changed"):
        resolve_request(SubmitRequest(job="a", limits=LimitsWish()), jobs, cwd="/")


def test_limits_are_shown_as_they_would_be_written() -> None:
    limits = RunLimits(memory=2**31, cpu=1.5, pids=200, core=0, data=1500, cpu_time_s=90)
    assert show_limits(limits) == {
        "memory": "2G",
        "cpu": "1.5",
        "pids": "200",
        "core": "0",
        "data": "1500",
        "cpu_time": "1m30s",
    }
    assert show_limits(RunLimits()) == {}
