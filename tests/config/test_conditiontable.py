"""The keys of a job that say under what conditions it runs, and mistakes in the words of a user."""

from __future__ import annotations

import pytest

from supervisor.conditions import Conditions, RunLimits
from supervisor.config.conditiontable import read_conditions
from supervisor.config.tomltable import Notes, Table
from supervisor.config.tomltext import read_toml


def read(text: str) -> tuple[Conditions, Notes]:
    toml = read_toml(text)
    notes = Notes("f", toml)
    return read_conditions(Table(toml.values, (), notes), "/srv"), notes


def test_every_key() -> None:
    conditions, notes = read("""\
nice = 10
ionice = "best-effort:7"
umask = "027"
user = "build:staff"
supplementary_groups = ["video"]
inherit_env = ["PATH", "LC_*"]
env_file = "secrets/import.env"
[limits]
memory = "2G"
cpu = 1.5
pids = 200
io_weight = 50
nofile = 4096
core = 0
stack = "16M"
data = "1G"
cpu_time = "10m"
""")

    assert notes.mistakes() == ()
    assert conditions == Conditions(
        limits=RunLimits(
            memory=2**31,
            cpu=1.5,
            pids=200,
            io_weight=50,
            nofile=4096,
            core=0,
            stack=2**24,
            data=2**30,
            cpu_time_s=600,
        ),
        nice=10,
        ionice="best-effort:7",
        umask="0027",
        user="build:staff",
        supplementary_groups=("video",),
        inherit_env=("PATH", "LC_*"),
        env_file="/srv/secrets/import.env",
    )


def test_none_is_as_the_server_has_it() -> None:
    assert read("")[0] == Conditions()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("limits = 5", "key limits: must be a table, not 5"),
        ("limits.memory = '1K'", "key limits.memory: must be at least 1M"),
        ("limits.mem = '1G'", 'key limits.mem: there is no such key; did you mean "memory"?'),
        ("limits.nproc = 5", 'key limits.nproc: there is no such key; did you mean "pids"?'),
        ("limits.cpus = 2", 'key limits.cpus: there is no such key; did you mean "cpu"?'),
        ("nice = 20", "key nice: must be from -20 to 19, not 20"),
        ("ionice = 'idel'", 'key ionice: there is no I/O class "idel"; did you mean "idle"?'),
        ("inherit_env = true", "key inherit_env: must be a list of names"),
        ("inherit_env = ['A=B']", "key inherit_env: 'A=B' cannot be the name of a variable"),
        ("env_file = '~/x'", "key env_file: ~ means nothing here; write the whole path"),
        ("env_file = ['x']", "key env_file: must be a string, not a list"),
        ("umask = 0o022", "key umask: must be octal digits between quotes"),
    ],
)
def test_a_mistake_is_told_at_its_key(lines: str, message: str) -> None:
    _, notes = read(lines)

    assert len(notes.mistakes()) == 1
    assert message in notes.mistakes()[0]
