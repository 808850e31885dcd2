"""From a request to what is executed: resolved once, or refused with the field at fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import BadRequest, BadValue, NoSuchJob, RunwireError
from supervisor.jobs.resolve import override_stop, resolve, resolve_adhoc, resolve_request
from supervisor.spec import Job, Param, ParamKind, RunSpec, StopPolicy
from supervisor.wire import CancelRequest, StopWish, SubmitRequest

IMPORT = Job(
    name="import",
    command=("import", "--shard", "{shard}", "{{shard}}", "{print $1}"),
    cwd="/srv/imports",
    env={"TZ": "UTC", "LABEL": "shard {shard} of {day}"},
    params={
        "shard": Param(type=ParamKind.INT, min=1, max=8, default=1),
        "day": Param(type=ParamKind.STRING, default="today"),
    },
    stop=StopPolicy("INT", 5.0),
    timeout_s=60.0,
    concurrency=2,
    priority=3,
    tags=("orders",),
)
SHOUT = Job(
    name="shout",
    shell='echo "$RUNWIRE_PARAM_WORD" {word}',
    cwd="/",
    params={"word": Param(type=ParamKind.STRING)},
)
AWK = Job(name="awk", command=("awk", "{print}", "{{x}}"), cwd="/", env={"X": "{y}"})
JOBS = {job.name: job for job in (IMPORT, SHOUT, AWK)}


def test_a_job_becomes_a_spec_with_nothing_left_to_look_up() -> None:
    spec = resolve(IMPORT, SubmitRequest(job="import", params={"shard": "5"}))

    assert spec == RunSpec(
        job="import",
        argv=("import", "--shard", "5", "{shard}", "{print $1}"),
        cwd="/srv/imports",
        env={
            "TZ": "UTC",
            "LABEL": "shard 5 of today",
            "RUNWIRE_PARAM_SHARD": "5",
            "RUNWIRE_PARAM_DAY": "today",
        },
        params={"shard": 5, "day": "today"},
        stop=StopPolicy("INT", 5.0),
        timeout_s=60.0,
        concurrency=2,
        priority=3,
        tags=("orders",),
    )


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_one_argument_stays_one_argument_whatever_the_value(value: str) -> None:
    job = Job(
        name="say",
        command=("say", "--text={text}", "{text}"),
        cwd="/",
        params={"text": Param(type=ParamKind.STRING)},
    )

    spec = resolve(job, SubmitRequest(job="say", params={"text": value}))

    assert spec.argv == ("say", f"--text={value}", value)


def test_a_shell_line_is_run_as_it_stands_and_finds_parameters_in_the_environment() -> None:
    spec = resolve(SHOUT, SubmitRequest(job="shout", params={"word": "$(rm -rf /)"}))

    assert spec.argv == ("/bin/sh", "-c", SHOUT.shell)
    assert spec.shell == SHOUT.shell
    assert spec.env == {"RUNWIRE_PARAM_WORD": "$(rm -rf /)"}


def test_a_job_without_parameters_has_no_placeholders() -> None:
    spec = resolve(AWK, SubmitRequest(job="awk"))

    assert spec.argv == AWK.command
    assert spec.env == {"X": "{y}"}


def test_a_program_s_name_cannot_come_out_empty() -> None:
    job = Job(
        name="any",
        command=("{program}",),
        cwd="/",
        params={"program": Param(type=ParamKind.STRING)},
    )

    with pytest.raises(BadValue, match="comes out empty"):
        resolve(job, SubmitRequest(job="any", params={"program": ""}))


def test_a_request_may_change_how_long_how_to_stop_how_soon_and_add_tags() -> None:
    request = SubmitRequest(
        job="import",
        timeout="2h",
        stop=StopWish(grace="1m"),
        priority=-5,
        tags=("mine", "orders"),
    )

    spec = resolve(IMPORT, request)

    assert spec.timeout_s == 7200
    assert spec.stop == StopPolicy("INT", 60.0)
    assert spec.priority == -5
    assert spec.tags == ("orders", "mine")


def test_an_adhoc_command_is_executed_as_given() -> None:
    request = SubmitRequest(command=("echo", "{x}", "$HOME"), env={"A": "{b}"}, cwd="sub/dir")

    spec = resolve_adhoc(request, cwd="/srv")

    assert spec == RunSpec(argv=("echo", "{x}", "$HOME"), env={"A": "{b}"}, cwd="/srv/sub/dir")


@pytest.mark.parametrize(
    ("wanted", "cwd"),
    [(None, "/srv"), (".", "/srv"), ("/tmp", "/tmp"), ("../x", "/srv/../x"), ("a//b/", "/srv/a/b")],
)
def test_a_directory_is_relative_to_the_server_s(wanted: str | None, cwd: str) -> None:
    spec = resolve_adhoc(SubmitRequest(shell="pwd", cwd=wanted), cwd="/srv")

    assert spec.cwd == cwd
    assert spec.argv == ("/bin/sh", "-c", "pwd")


def test_a_request_is_resolved_by_what_it_names() -> None:
    by_job = resolve_request(SubmitRequest(job="awk"), JOBS, cwd="/srv")
    adhoc = resolve_request(SubmitRequest(command=("ls",)), JOBS, cwd="/srv")

    assert (by_job.job, by_job.cwd) == ("awk", "/")
    assert (adhoc.job, adhoc.cwd) == (None, "/srv")


@pytest.mark.parametrize(
    ("request_", "error", "field", "message"),
    [
        (SubmitRequest(), BadRequest, None, "give job, command or shell"),
        (
            SubmitRequest(job="imprt"),
            NoSuchJob,
            "job",
            'there is no job "imprt"; did you mean "import"?',
        ),
        (
            SubmitRequest(job="awk", command=("ls",)),
            BadRequest,
            "command",
            "give either job or command, not both",
        ),
        (
            SubmitRequest(job="awk", shell="ls"),
            BadRequest,
            "shell",
            "give either job or shell, not both",
        ),
        (
            SubmitRequest(command=("ls",), shell="ls"),
            BadRequest,
            "shell",
            "give either command or shell, not both",
        ),
        (SubmitRequest(job="awk", cwd="/"), BadRequest, "cwd", "a job's cwd cannot be changed"),
        (SubmitRequest(job="awk", cwd=""), BadRequest, "cwd", "a job's cwd cannot be changed"),
        (
            SubmitRequest(job="awk", env={"A": "1"}),
            BadRequest,
            "env",
            "a job's env cannot be changed",
        ),
        (
            SubmitRequest(command=("ls",), params={"a": 1}),
            BadRequest,
            "params",
            "only a job has parameters",
        ),
        (SubmitRequest(job="awk", params={"a": 1}), BadValue, "params.a", "has no parameters"),
        (SubmitRequest(job="shout"), BadValue, "params.word", "must be given"),
        (SubmitRequest(command=()), BadValue, "command", "must begin with the program"),
        (SubmitRequest(command=("a", "\0")), BadValue, "command[1]", "NUL"),
        (SubmitRequest(shell=" "), BadValue, "shell", "must not be empty"),
        (SubmitRequest(shell="x", cwd=""), BadValue, "cwd", "must not be empty"),
        (SubmitRequest(shell="x", cwd="~"), BadValue, "cwd", "write the whole path"),
        (SubmitRequest(shell="x", env={"A=B": ""}), BadValue, "env.A=B", "must not"),
        (SubmitRequest(job="awk", timeout="soon"), BadValue, "timeout", "not a duration"),
        (SubmitRequest(job="awk", timeout=0), BadValue, "timeout", "longer than 0"),
        (SubmitRequest(job="awk", timeout=-1.0), BadValue, "timeout", "0 or more"),
        (
            SubmitRequest(job="awk", stop=StopWish(signal="TREM")),
            BadValue,
            "stop.signal",
            'did you mean "TERM"?',
        ),
        (SubmitRequest(job="awk", stop=StopWish(grace="x")), BadValue, "stop.grace", "duration"),
        (SubmitRequest(job="awk", priority=5000), BadValue, "priority", "from -1000 to 1000"),
        (SubmitRequest(job="awk", tags=("a b",)), BadValue, "tags", '"a b" cannot be a tag'),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_for_the_field_at_fault(
    request_: SubmitRequest, error: type[RunwireError], field: str | None, message: str
) -> None:
    with pytest.raises(error) as caught:
        resolve_request(request_, JOBS, cwd="/srv")

    assert type(caught.value) is error
    assert caught.value.field == field
    assert message in caught.value.message


def test_a_cancel_may_name_its_own_signal_and_grace() -> None:
    policy = StopPolicy("TERM", 10.0)

    assert override_stop(policy, CancelRequest()) == policy
    assert override_stop(policy, CancelRequest(signal="sigint")) == StopPolicy("INT", 10.0)
    assert override_stop(policy, CancelRequest(grace=0)) == StopPolicy("TERM", 0.0)
    with pytest.raises(BadValue) as caught:
        override_stop(policy, CancelRequest(signal="0"))
    assert caught.value.field == "signal"
