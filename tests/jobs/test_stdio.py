"""What a run reads from and writes to: by its name, or refused with what was probably meant."""

from __future__ import annotations

import msgspec
import pytest

from supervisor.config.settings import read_settings
from supervisor.errors import BadValue, ConfigError
from supervisor.jobs.resolve import resolve, resolve_adhoc
from supervisor.jobs.stdio import check_output
from supervisor.spec import Job, OutputMode, RunSpec, Stdin, StdinMode, StdinSource, TerminalSize
from supervisor.wire import SubmitRequest

MERGING = Job(name="merging", shell="true", cwd="/", output=OutputMode.MERGED)


@pytest.mark.parametrize("mode", list(OutputMode))
def test_a_mode_is_known_by_its_name(mode: OutputMode) -> None:
    assert check_output(mode.value) is mode


@pytest.mark.parametrize("value", ["", "Split", "both", 1, True, None])
def test_anything_else_is_no_mode(value: object) -> None:
    with pytest.raises(BadValue, match="is none of split, merged"):
        check_output(value)


def test_a_job_has_the_mode_of_its_file() -> None:
    settings = read_settings(
        '[jobs.a]\nshell = "x"\noutput = "merged"\n[jobs.b]\nshell = "x"\n', None, environ={}
    )
    assert settings.jobs["a"].output is OutputMode.MERGED
    assert settings.jobs["b"].output is OutputMode.SPLIT


def test_a_misspelt_mode_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings('[jobs.a]\nshell = "x"\noutput = "mergd"\n', None, environ={})
    assert "key output" in caught.value.mistakes[0]
    assert 'did you mean "merged"?' in caught.value.mistakes[0]


def test_a_request_may_want_another_mode_than_the_job_has() -> None:
    assert resolve(MERGING, SubmitRequest(job="merging")).output is OutputMode.MERGED
    wish = SubmitRequest(job="merging", output=OutputMode.SPLIT)
    assert resolve(MERGING, wish).output is OutputMode.SPLIT
    own = SubmitRequest(shell="true", output=OutputMode.MERGED)
    assert resolve_adhoc(own, cwd="/").output is OutputMode.MERGED


@pytest.mark.parametrize(
    ("written", "stdin"),
    [
        ("", StdinMode.CLOSED),
        ('stdin = "closed"', StdinMode.CLOSED),
        ('stdin = "open"', StdinMode.OPEN),
        ('stdin = { file = "words" }', StdinSource(file="words")),
        ('stdin = { text = "" }', StdinSource(text="")),
        ('stdin.text = """\na\nb\n"""', StdinSource(text="a\nb\n")),
    ],
)
def test_a_job_reads_what_its_file_says(written: str, stdin: Stdin) -> None:
    settings = read_settings(f'[jobs.a]\nshell = "x"\n{written}\n', None, environ={})
    assert settings.jobs["a"].stdin == stdin
    assert resolve(settings.jobs["a"], SubmitRequest(job="a")).stdin == stdin


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('stdin = "opne"', 'key stdin: "opne" is none of closed, open; did you mean "open"?'),
        ('stdin = "yes"', 'key stdin: "yes" is none of closed, open; a text is written { text'),
        ("stdin = true", "key stdin: must be a table"),
        ("stdin = {}", "key stdin: needs a file or a text, and not both"),
        ('stdin = { file = "a", text = "b" }', "key stdin: needs a file or a text, and not both"),
        ('stdin = { file = "~/a" }', "key stdin.file: ~ means nothing here"),
        ('stdin = { path = "a" }', "key stdin.path: there is no such key; there is file, text"),
        ("stdin = { text = 1 }", "key stdin.text: must be a string"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(written: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(f'[jobs.a]\nshell = "x"\n{written}\n', None, environ={})
    assert told in caught.value.mistakes[0]


@pytest.mark.parametrize("stdin", [StdinMode.OPEN, StdinSource(file="f"), StdinSource(text="t")])
def test_what_a_run_reads_survives_being_stored(stdin: Stdin) -> None:
    spec = RunSpec(argv=("cat",), cwd="/", stdin=stdin)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=RunSpec) == spec


def test_a_run_stored_before_there_was_input_reads_nothing() -> None:
    old = b'{"argv":["cat"],"cwd":"/"}'
    assert msgspec.json.decode(old, type=RunSpec).stdin is StdinMode.CLOSED


def test_a_terminal_is_as_large_as_its_file_says() -> None:
    text = '[jobs.a]\nshell = "x"\noutput = "pty"\nterminal = { columns = 132 }\n'
    job = read_settings(text, None, environ={}).jobs["a"]
    assert (job.output, job.terminal) == (OutputMode.PTY, TerminalSize(columns=132, rows=24))
    assert resolve(job, SubmitRequest(job="a")).terminal == TerminalSize(132, 24)
    wish = SubmitRequest(job="a", terminal=TerminalSize(40, 10))
    assert resolve(job, wish).terminal == TerminalSize(40, 10)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("terminal = { columns = 0 }", "key terminal.columns: must be from 1 to 1000, not 0"),
        ("terminal = { cols = 80 }", "key terminal.cols: there is no such key"),
        ('stdin = { text = "x" }', 'key stdin: what is on a terminal (output = "pty") reads what'),
    ],
)
def test_what_a_terminal_cannot_be_is_told(written: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(f'[jobs.a]\nshell = "x"\noutput = "pty"\n{written}\n', None, environ={})
    assert told in caught.value.mistakes[0]


def test_a_size_without_a_terminal_is_odd() -> None:
    text = '[jobs.a]\nshell = "x"\nterminal = { rows = 30 }\n'
    [warning] = read_settings(text, None, environ={}).warnings
    assert 'means nothing without output = "pty"' in warning


def test_what_a_job_reads_may_not_go_with_the_mode_that_is_wanted() -> None:
    job = Job(name="reads", shell="cat", cwd="/", stdin=StdinSource(text="x"))
    with pytest.raises(BadValue) as caught:
        resolve(job, SubmitRequest(job="reads", output=OutputMode.PTY))
    assert caught.value.field == "stdin"


def test_a_run_stored_before_there_were_terminals_has_the_usual_size() -> None:
    old = b'{"argv":["cat"],"cwd":"/"}'
    assert msgspec.json.decode(old, type=RunSpec).terminal == TerminalSize(80, 24)
