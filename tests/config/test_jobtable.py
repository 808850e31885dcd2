"""`[jobs.NAME]` in jobs.toml: what it makes of a job, and every mistake in the words of a user."""

from __future__ import annotations

import pytest

from supervisor.config.jobtable import read_jobs
from supervisor.config.tomltable import Notes, Table
from supervisor.config.tomltext import read_toml
from supervisor.spec import Job, Param, ParamKind, StopPolicy


def read(text: str) -> tuple[dict[str, Job], Notes]:
    """The jobs of a text, for a file in /srv, and what is noted about it."""
    toml = read_toml(text)
    notes = Notes("f", toml)
    return read_jobs(Table(toml.values, (), notes).table("jobs"), "/srv"), notes


def test_a_job_with_every_key() -> None:
    jobs, notes = read("""\
[jobs.nightly-import]
description = "Pulls the day's orders"
command = ["import", "--shard", "{shard}"]
params.shard = { type = "int", min = 1, max = 8, default = 1 }
cwd = "imports"
env = { TZ = "UTC", LABEL = "{shard}" }
timeout = "2h"
stop = { signal = "SIGINT", grace = "30s" }
concurrency = 1
priority = 5
autostart = true
tags = ["orders", "orders"]
""")

    assert notes.mistakes() == notes.warnings() == ()
    assert jobs == {
        "nightly-import": Job(
            name="nightly-import",
            description="Pulls the day's orders",
            command=("import", "--shard", "{shard}"),
            cwd="/srv/imports",
            env={"TZ": "UTC", "LABEL": "{shard}"},
            params={"shard": Param(type=ParamKind.INT, min=1, max=8, default=1)},
            stop=StopPolicy("INT", 30.0),
            timeout_s=7200.0,
            concurrency=1,
            priority=5,
            autostart=True,
            tags=("orders",),
        )
    }


def test_a_job_needs_nothing_but_a_program() -> None:
    jobs, notes = read('[jobs.b]\nshell = "ls | wc -l"\n[jobs.a]\ncommand = ["ls"]\n')

    assert notes.mistakes() == ()
    assert list(jobs.values()) == [
        Job(name="b", shell="ls | wc -l", cwd="/srv"),
        Job(name="a", command=("ls",), cwd="/srv"),
    ]


@pytest.mark.parametrize(
    ("cwd", "absolute"),
    [("", "/srv"), ("cwd = '.'", "/srv"), ("cwd = '/opt'", "/opt"), ("cwd = '../x'", "/srv/../x")],
)
def test_a_directory_is_relative_to_the_file_s(cwd: str, absolute: str) -> None:
    jobs, _ = read(f"[jobs.a]\nshell = 'ls'\n{cwd}")

    assert jobs["a"].cwd == absolute


@pytest.mark.parametrize("name", ["a", "0", "nightly-import", "a.b_c", "x" * 64])
def test_a_job_s_name_is_plain(name: str) -> None:
    _, notes = read(f'[jobs."{name}"]\nshell = "ls"\n')

    assert notes.mistakes() == ()


@pytest.mark.parametrize("name", ["", ".a", "-a", "a b", "a/b", "\u00e4", "x" * 65, "a\\n"])
def test_any_other_name_is_a_mistake(name: str) -> None:
    _, notes = read(f'[jobs."{name}"]\nshell = "ls"\n')

    assert len(notes.mistakes()) == 1
    assert "cannot be a job's name: up to 64 letters" in notes.mistakes()[0]


MISTAKES = [
    ("", 'needs a command, such as command = ["echo", "hello"], or a shell line'),
    ("command = ['a']\nshell = 'b'", "key shell: give either command or shell, not both"),
    ("command = []", "key command: must begin with the program to run"),
    ("command = ['']", "key command: must begin with the program to run"),
    ("command = ['a', 5]", "key command[1]: must be a string, not 5"),
    ("command = 5", "key command: must be a list of strings, not 5"),
    (
        "command = 'tar -c .'",
        'key command: must be a list: write ["tar", "-c", "."], or a shell line as shell = ...',
    ),
    ("command = ''", 'key command: must be a list: write ["echo", "hello"], or a shell line'),
    ("command = ['a', \"b\\u0000\"]", "key command[1]: must not contain a NUL character"),
    ("shell = ''", "key shell: must not be empty"),
    ("shell = ['ls']", "key shell: must be a string, not a list"),
    ("description = 5", "key description: must be a string, not 5"),
    ("cwd = ''", "key cwd: must not be empty"),
    ("cwd = '~/x'", "key cwd: ~ means nothing here; write the whole path"),
    ("env = 'A=1'", 'key env: must be a table, not "A=1"'),
    ("env = { PORT = 80 }", 'key env.PORT: must be a string; write PORT = "80"'),
    ("env = { DRY = true }", 'key env.DRY: must be a string; write DRY = "true"'),
    ("env = { A = [] }", "key env.A: must be a string"),
    ("env = { 'A=B' = '' }", "key env.A=B: the name of a variable must not be empty or contain ="),
    (
        "env = { RUNWIRE_RUN_ID = '' }",
        "key env.RUNWIRE_RUN_ID: names that begin with RUNWIRE_ are set by Runwire itself",
    ),
    ("timeout = '10 minutes'", 'key timeout: "10 minutes" is not a duration; did you mean "10m"?'),
    ("timeout = 0", "key timeout: must be longer than 0; leave it out for no limit"),
    ("timeout = -5", "key timeout: a duration cannot be -5: it must be 0 or more"),
    ("stop = 'TERM'", 'key stop: must be a table, not "TERM"'),
    ("stop.signal = 'TREM'", 'key stop.signal: there is no signal "TREM"; did you mean "TERM"?'),
    ("stop.grace = 'x'", 'key stop.grace: "x" is not a duration'),
    ("stop.wait = 5", "key stop.wait: there is no such key; there is signal, grace"),
    ("concurrency = 0", "key concurrency: must be 1 or more, not 0"),
    ("concurrency = '1'", 'key concurrency: must be a whole number, not "1"'),
    ("priority = 1001", "key priority: must be from -1000 to 1000, not 1001"),
    ("autostart = 'yes'", 'key autostart: must be true or false, not "yes"'),
    (
        "autostart = true\nparams.x = {}",
        "key autostart: cannot start by itself: x has no default",
    ),
    ("tags = 'a'", 'key tags: must be a list of strings, not "a"'),
    ("tags = ['a b']", 'key tags: "a b" cannot be a tag'),
    ("params = 5", "key params: must be a table, not 5"),
    ("timeot = 5", 'key timeot: there is no such key; did you mean "timeout"?'),
    ("cmd = ['x']", 'key cmd: there is no such key; did you mean "command"?'),
    ("directory = '/'", 'key directory: there is no such key; did you mean "cwd"?'),
    ("environment = {}", 'key environment: there is no such key; did you mean "env"?'),
    ("stopwaitsecs = 5", 'key stopwaitsecs: there is no such key; did you mean "stop.grace"?'),
    ("schedule = '* * * * *'", "key schedule: there is no such key"),
]


@pytest.mark.parametrize(("lines", "message"), MISTAKES)
def test_a_mistake_names_the_job_the_key_and_what_to_write(lines: str, message: str) -> None:
    program = "" if lines == "" or "command =" in lines or "shell =" in lines else "shell = 'ls'"

    _, notes = read(f"[jobs.a]\n{lines}\n{program}\n")

    assert len(notes.mistakes()) == 1
    place, _, text = notes.mistakes()[0].partition(": job a: ")
    assert text.startswith(message)
    assert place == ("f:3" if "shell = 'b'" in lines else "f:1" if lines == "" else "f:2")


def test_keys_that_stand_in_jobs_itself_are_told_where_jobs_are_written() -> None:
    _, notes = read("[jobs]\ncommand = ['ls']\n")

    assert notes.mistakes() == (
        "f:2: job command: must be a table: a job is written below a line [jobs.NAME]",
    )


PLACEHOLDERS = [
    (
        "command = ['x', '{shrad}']",
        (
            "key command[1]: {shrad} is no parameter of this job (for the text itself write "
            '{{shrad}}); did you mean "shard"?'
        ),
    ),
    (
        "command = ['awk', '{print}']",
        "key command[1]: {print} is no parameter of this job (for the text itself write {{print}})",
    ),
    (
        "command = ['x']\nenv.A = '{other}'",
        "key env.A: {other} is no parameter of this job (for the text itself write {{other}})",
    ),
    (
        "shell = 'echo {shard}'",
        (
            'key shell: nothing is replaced in a shell line: write "$RUNWIRE_PARAM_SHARD" for the '
            "value of shard"
        ),
    ),
    ("command = ['x']\ncwd = '/{shard}'", "key cwd: {shard} is replaced in command and env only"),
    (
        "command = ['sh', '-c', 'echo {shard}']",
        (
            'key command[2]: a value must not become shell code: write "$RUNWIRE_PARAM_SHARD" for the '
            "value of shard"
        ),
    ),
    (
        "command = ['/bin/bash', '-e', '-uc', 'echo {shard}', 'x', '{shard}']",
        (
            'key command[3]: a value must not become shell code: write "$RUNWIRE_PARAM_SHARD" for the '
            "value of shard"
        ),
    ),
    (
        "command = ['bash', '-o', 'pipefail', '-c', 'echo {shard}']",
        (
            'key command[4]: a value must not become shell code: write "$RUNWIRE_PARAM_SHARD" for the '
            "value of shard"
        ),
    ),
]


@pytest.mark.parametrize(("lines", "message"), PLACEHOLDERS)
def test_a_placeholder_that_cannot_be_meant_is_a_mistake(lines: str, message: str) -> None:
    _, notes = read(f"[jobs.a]\n{lines}\nparams.shard.type = 'int'\n")

    assert [text.partition(": job a: ")[2] for text in notes.mistakes()] == [message]


@pytest.mark.parametrize(
    "lines",
    [
        "command = ['x', '{shard}', '{{other}}', '{print $1}', '{\"a\": {shard}}']",
        "command = ['bash', 'script.sh', '-c', '{shard}']",
        "command = ['bash', '-c', 'echo $1', 'name', '{shard}']",
        "command = ['bash', '-e', 'script.sh', '-c', '{shard}']",
        "shell = 'echo ${RUNWIRE_PARAM_SHARD} {a,b} {other}'",
        "command = ['{shard}']",
    ],
)
def test_other_braces_are_nobody_s_business(lines: str) -> None:
    _, notes = read(f"[jobs.a]\n{lines}\nparams.shard.type = 'int'\n")

    assert notes.mistakes() == ()


def test_a_job_without_parameters_may_have_any_braces() -> None:
    _, notes = read("[jobs.a]\ncommand = ['sh', '-c', 'echo {x}', '{y}']\nenv.A = '{z}'\n")

    assert notes.mistakes() == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "command = ['echo', 'in $HOME/x']",
            "key command[1]: $HOME stays as it is: only a shell line replaces it",
        ),
        (
            "command = ['ls', '|', 'wc']",
            "key command[1]: | is an argument like others: only a shell line obeys it",
        ),
        (
            "command = ['echo hi']",
            "key command: is one program with spaces in its name; give each word its own quotes",
        ),
        (
            "shell = 'ls'\nstop = { signal = 'KILL', grace = '5s' }",
            "key stop.grace: means nothing with KILL, which no program can wait for",
        ),
    ],
)
def test_what_works_but_is_hardly_meant_is_a_warning(lines: str, message: str) -> None:
    _, notes = read(f"[jobs.a]\n{lines}\n")

    assert notes.mistakes() == ()
    assert [text.partition(": job a: ")[2] for text in notes.warnings()] == [message]


@pytest.mark.parametrize(
    "lines",
    [
        "command = ['sh', '-c', 'echo $HOME | wc']",
        "command = ['awk', '{print $1, $NF}']",
        "command = ['find', '.', '-name', 'x', ';']",
        "command = ['/opt/my app/run', 'x']",
        "shell = 'ls'\nstop.signal = 'KILL'",
    ],
)
def test_what_may_well_be_meant_is_none(lines: str) -> None:
    _, notes = read(f"[jobs.a]\n{lines}\n")

    assert notes.warnings() == ()
