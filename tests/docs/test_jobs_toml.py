"""docs/jobs-toml.md: it has every key and no other, and what it shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from supervisor.config import settings as config
from supervisor.config.authtable import read_auth
from supervisor.config.jobtable import read_jobs
from supervisor.config.tomltable import Notes, Table
from supervisor.config.tomltext import read_toml
from supervisor.errors import ConfigError
from supervisor.spec import StopPolicy
from tools.base import ROOT

PAGE = (ROOT / "docs" / "jobs-toml.md").read_text(encoding="utf-8")
HOME = {"HOME": "/home/ann"}
BLOCKS = re.findall(r"```(\S+)(?: (\S+))?\n(.*?)```", PAGE, re.DOTALL)
GOOD = [text for kind, extra, text in BLOCKS if kind == "toml" and not extra]


def keys_of_the_page() -> list[str]:
    """Every key that has a row, with the table it stands in: `jobs.NAME.stop.grace`."""
    keys = []
    table = ""
    for line in PAGE.splitlines():
        heading = re.match(r"## `\[(.*)\]`", line)
        row = re.match(r"\| `([^`\"]+)` \|", line)
        if heading:
            table = heading[1]
        elif row:
            keys.append(f"{table}.{row[1]}")
    return keys


def keys_of_the_code() -> list[str]:
    """Every key that reading looks for."""
    toml = read_toml("[jobs.NAME]\nparams.NAME = {}\n")
    notes = Notes("f", toml)
    root = Table(toml.values, (), notes)
    config._read_supervisor(root.table("supervisor"), Path("/"), HOME)
    config._read_web(root.table("web"), Path("/"), Path("/"))
    read_auth(root.table("auth"), Path("/"))
    read_jobs(root.table("jobs"), "/")
    paths = [".".join(map(str, path)) for path in notes.asked]
    tables = {
        "supervisor",
        "supervisor.retention",
        "web",
        "auth",
        "jobs",
        "jobs.NAME",
        "jobs.NAME.params.NAME",
    }
    return [path for path in paths if path not in tables]


def test_every_key_has_a_row_and_every_row_a_key() -> None:
    assert sorted(keys_of_the_page()) == sorted(keys_of_the_code())


@pytest.mark.parametrize("text", GOOD)
def test_every_example_is_right(text: str) -> None:
    settings = config.read_settings(text, Path("/srv/jobs.toml"), environ=HOME)

    assert settings.warnings == ()


def test_the_defaults_shown_are_the_defaults() -> None:
    [shown] = [text for text in GOOD if "[web.limits]" in text]

    settings = config.read_settings(shown, None, environ=HOME)

    assert settings == config.load(None, environ=HOME)
    assert set(re.findall(r"^(\w+) =", shown, re.MULTILINE)) == {
        key.rpartition(".")[2]
        for key in keys_of_the_code()
        if key.startswith(("supervisor.", "web."))
    } - {
        "state_dir",
        "max_running",
        "max_log",
        "on_full",
        "age",
        "runs",
        "bytes",
        "socket",
        "limits",
    }


def test_the_default_stop_shown_is_the_default() -> None:
    [shown] = re.findall(r"`(stop = \{.*?\})`", PAGE)

    settings = config.read_settings(f"[jobs.a]\nshell = 'x'\n{shown}\n", None, environ=HOME)

    assert settings.jobs["a"].stop == StopPolicy()


def test_the_mistakes_shown_are_those_told() -> None:
    [wrong] = [text for kind, extra, text in BLOCKS if extra == "mistakes"]
    [told] = [text for kind, _, text in BLOCKS if kind == "text"]

    with pytest.raises(ConfigError) as caught:
        config.read_settings(wrong, Path("jobs.toml"), environ=HOME)

    assert list(caught.value.mistakes) == told.splitlines()
