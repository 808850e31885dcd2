"""jobs.toml and the environment become settings, or all mistakes are told at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.config.bind import Bind
from supervisor.config.settings import (
    Settings,
    SupervisorSettings,
    WebLimits,
    WebSettings,
    default_state_dir,
    load,
    override,
    read_settings,
)
from supervisor.errors import BadValue, ConfigError

HOME = {"HOME": "/home/ann"}
STATE = Path("/home/ann/.local/state/runwire")


def mistakes(text: str) -> tuple[str, ...]:
    """What is wrong with a text, as /srv/jobs.toml would have it."""
    with pytest.raises(ConfigError) as caught:
        read_settings(text, Path("/srv/jobs.toml"), environ=HOME)
    return caught.value.mistakes


def test_without_a_file_everything_has_its_default() -> None:
    settings = load(None, environ=HOME)

    assert settings == Settings(
        supervisor=SupervisorSettings(
            state_dir=STATE,
            max_running=max(4, 2 * (os.cpu_count() or 1)),
            drain_s=2.0,
            log_sync_s=1.0,
        ),
        web=WebSettings(
            bind=Bind("127.0.0.1", 4000),
            socket=STATE / "runwire.sock",
            base_path="",
            hosts=(),
            limits=WebLimits(),
        ),
        jobs={},
        path=None,
        warnings=(),
    )


def test_an_empty_file_says_the_same_as_none(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    path.write_text("")

    settings = load(path, environ=HOME)

    assert settings.path == path
    assert settings.web == load(None, environ=HOME).web


def test_every_key_of_supervisor_and_web() -> None:
    settings = read_settings(
        """\
[supervisor]
state_dir = "state"
max_running = 7
drain = "500ms"
log_sync = 5

[web]
bind = "[::1]:0"
socket = "/run/runwire.sock"
base_path = "/build/runwire/"
hosts = ["Runwire.example.org", "[::1]"]
cors_origins = ["https://Dash.example.com:8443", "http://[::1]"]

[web.limits]
max_body = "2M"
max_headers = "16K"
header_timeout = "3s"
idle_timeout = "1m"
send_timeout = 10
max_connections = 50
max_connections_per_address = 5
""",
        Path("/srv/jobs.toml"),
        environ=HOME,
    )

    assert settings.supervisor == SupervisorSettings(
        state_dir=Path("/srv/state"), max_running=7, drain_s=0.5, log_sync_s=5.0
    )
    assert settings.web == WebSettings(
        bind=Bind("::1", 0),
        socket=Path("/run/runwire.sock"),
        base_path="/build/runwire",
        hosts=("runwire.example.org", "[::1]"),
        cors_origins=("https://dash.example.com:8443", "http://[::1]"),
        limits=WebLimits(
            max_body=2 * 1024**2,
            max_headers=16 * 1024,
            header_timeout_s=3.0,
            idle_timeout_s=60.0,
            send_timeout_s=10.0,
            max_connections=50,
            max_connections_per_address=5,
        ),
    )


def test_the_socket_is_in_the_state_directory_unless_said_otherwise() -> None:
    settings = read_settings(
        '[supervisor]\nstate_dir = "/var/lib/x"\n', Path("/srv/jobs.toml"), environ=HOME
    )

    assert settings.web.socket == Path("/var/lib/x/runwire.sock")


def test_jobs_come_in_file_order_and_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    path.write_text("[jobs.b]\nshell = 'ls'\n[jobs.a]\ncommand = ['ls']\ncwd = 'x'\n")

    jobs = load(path, environ=HOME).jobs

    assert [(name, job.cwd) for name, job in jobs.items()] == [
        ("b", str(tmp_path)),
        ("a", str(tmp_path / "x")),
    ]


def test_a_relative_path_s_file_is_known_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs.toml").write_text("[jobs.a]\nshell = 'ls'\n")
    monkeypatch.chdir(tmp_path)

    settings = load(Path("jobs.toml"), environ=HOME)

    assert settings.path == tmp_path / "jobs.toml"
    assert settings.jobs["a"].cwd == str(tmp_path)


EVERYTHING_WRONG = """\
[supervisor]
max_runing = 3
[web]
bind = "4000"
limits = { max_body = "lots" }

[jobs.backup]
command = "tar -c ."
timeout = "10 minutes"
timeout = "10m"
stop = { signal = "TREM", grace = -1 }
params.shard = { type = "int", min = 1, max = 8, default = 9 }
env = { LABEL = "{shrad}", PORT = 80 }

[jobs.empty]

[job.third]
shell = "ls"
"""


def test_all_mistakes_are_told_in_one_go_and_in_file_order() -> None:
    assert mistakes(EVERYTHING_WRONG) == tuple(
        f"/srv/jobs.toml:{text}"
        for text in (
            '2: [supervisor]: key max_runing: there is no such key; did you mean "max_running"?',
            (
                '4: [web]: key bind: must be HOST:PORT, "127.0.0.1:4000" for this machine alone or '
                '"0.0.0.0:4000" for all, not "4000"'
            ),
            (
                '5: [web]: key limits.max_body: "lots" is not a size: write a number of bytes, or '
                'something like "64K", "10M" or "2G"'
            ),
            (
                '8: job backup: key command: must be a list: write ["tar", "-c", "."], or a shell '
                "line as shell = ..."
            ),
            '9: job backup: key timeout: "10 minutes" is not a duration; did you mean "10m"?',
            "10: job backup: key timeout: is given twice, first on line 9",
            '11: job backup: key stop.signal: there is no signal "TREM"; did you mean "TERM"?',
            "11: job backup: key stop.grace: a duration cannot be -1: it must be 0 or more",
            "12: job backup: key params.shard.default: must be a whole number from 1 to 8, not 9",
            '13: job backup: key env.PORT: must be a string; write PORT = "80"',
            (
                "13: job backup: key env.LABEL: {shrad} is no parameter of this job (for the text "
                'itself write {{shrad}}); did you mean "shard"?'
            ),
            '15: job empty: needs a command, such as command = ["echo", "hello"], or a shell line',
            '17: key job: there is no such key; did you mean "jobs"?',
        )
    )


def test_the_error_s_text_is_its_mistakes_line_by_line() -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings("a = 1\nb = 2\n", Path("x.toml"), environ=HOME)

    assert str(caught.value).splitlines() == list(caught.value.mistakes)
    assert caught.value.mistakes[1].startswith(
        "x.toml:2: key b: there is no such key; there is supervisor, web, jobs"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[supervisor]\nmax_running = 0", "max_running: must be 1 or more, not 0"),
        ("[supervisor]\ndrain = 'x'", 'drain: "x" is not a duration'),
        ("[supervisor]\nstate_dir = ''", "state_dir: must not be empty"),
        ("[supervisor]\nstate_dir = '~/x'", "state_dir: ~ means nothing here"),
        ("[supervisor]\nstate_dir = 5", "state_dir: must be a string, not 5"),
        ("[supervisor]\nwebhooks = {}", "webhooks: there is no such key"),
        ("[web]\nbase_path = 'x'", 'base_path: must be a path such as "/runwire", not "x"'),
        ("[web]\nbase_path = '/a//b'", 'base_path: must be a path such as "/runwire", not "/a//b"'),
        ("[web]\nbase_path = '/..'", 'base_path: must be a path such as "/runwire", not "/.."'),
        ("[web]\nbase_path = '/a?b'", 'base_path: must be a path such as "/runwire", not "/a?b"'),
        ("[web]\nbase_path = 5", 'base_path: must be a path such as "/runwire", not 5'),
        ("[web]\nport = 5", "port: there is no such key"),
        ("[web]\nhosts = 'a'", 'hosts: must be a list of strings, not "a"'),
        (
            "[web]\ncors_origins = ['https://a', 'https://a/']",
            'cors_origins[1]: must be like "https://example.com", without a path, not "https://a/"',
        ),
        ("[web]\ncors_origins = ['*']", "cors_origins[0]: must be like"),
        ("[web]\ncors_origins = ['https://*']", "cors_origins[0]: must be like"),
        ("[web]\ncors_origins = ['https://*.example.com']", "cors_origins[0]: must be like"),
        ("[web]\ncors_origins = ['null']", "cors_origins[0]: must be like"),
        ("[web]\ncors_origins = ['a.example']", "cors_origins[0]: must be like"),
        (
            "[web]\nhosts = ['https://a']",
            'hosts[0]: must be a host name without scheme and port, not "https://a"',
        ),
        (f"[web]\nsocket = '/{'x' * 107}'", "socket: is longer than the 107 bytes a socket's"),
        ("[web]\nsocket = ''", "socket: must not be empty"),
        ("[web.limits]\nmax_headers = 10", "limits.max_headers: must be 1024 bytes or more"),
        ("[web.limits]\nsend_timeout = 0", "limits.send_timeout: must be longer than 0"),
        ("[web.limits]\nmax_bodies = 0", 'limits.max_bodies: there is no such key; did you mean "'),
    ],
)
def test_a_setting_that_makes_no_sense_is_a_mistake(lines: str, message: str) -> None:
    [text] = mistakes(lines)

    table = "supervisor" if "supervisor" in lines else "web"
    assert text.startswith(f"/srv/jobs.toml:2: [{table}]: key {message}")


@pytest.mark.parametrize("table", ["supervisor", "web", "jobs"])
def test_a_table_that_is_something_else_is_a_mistake(table: str) -> None:
    [text] = mistakes(f"{table} = 5\n")

    assert text == f"/srv/jobs.toml:1: [{table}]: must be a table, not 5"


def test_a_fault_of_toml_is_told_for_itself() -> None:
    [text] = mistakes("[jobs.a]\nshell = 'ls'\ntimeout = 10m\nbogus = 1\n")

    assert text == (
        '/srv/jobs.toml:3: job a: key timeout: not valid TOML: text needs quotes: "10m" (column 13)'
    )


def test_warnings_do_not_refuse_the_file() -> None:
    settings = read_settings(
        "[jobs.a]\ncommand = ['ls', '|', 'wc']\n", Path("/srv/jobs.toml"), environ=HOME
    )

    assert settings.warnings == (
        (
            "/srv/jobs.toml:2: job a: key command[1]: | is an argument like others: "
            "only a shell line obeys it"
        ),
    )


@given(st.text())
def test_no_text_is_too_strange_to_be_refused_properly(text: str) -> None:
    try:
        read_settings(text, Path("/srv/jobs.toml"), environ=HOME)
    except ConfigError as error:
        told = error.mistakes
    else:
        return
    assert told
    assert all(line.startswith("/srv/jobs.toml:") for line in told)


@given(st.data())
def test_a_damaged_file_is_refused_properly_or_still_good(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(EVERYTHING_WRONG)))
    length = data.draw(st.integers(0, 5))
    damage = data.draw(st.text(max_size=3))
    text = EVERYTHING_WRONG[:place] + damage + EVERYTHING_WRONG[place + length :]

    assert mistakes(text)


# --- files ---------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    """The one mistake that loading `path` tells."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ=HOME)
    [text] = caught.value.mistakes
    return text


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"

    assert refused(path) == f"{path}: cannot be read: No such file or directory"


def test_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_file_that_is_not_text_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    path.write_bytes(b"# fine\n# \xff\n")

    assert refused(path) == f"{path}:2: is not UTF-8 text"


def test_a_file_of_endless_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    path.write_bytes(b"#" * (8 * 1024**2 + 1))

    assert refused(path) == f"{path}: is larger than 8 MiB"


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "jobs.toml"
    path.write_bytes("\ufeff[jobs.a]\r\nshell = 'ls'\r\n".encode())

    assert load(path, environ=HOME).jobs["a"].shell == "ls"


# --- the environment and the command line --------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        (HOME, STATE),
        ({**HOME, "XDG_STATE_HOME": "/x"}, Path("/x/runwire")),
        ({**HOME, "XDG_STATE_HOME": "relative"}, STATE),
        ({**HOME, "STATE_DIRECTORY": "/var/lib/runwire"}, Path("/var/lib/runwire")),
        ({**HOME, "STATE_DIRECTORY": "/a:/b"}, Path("/a")),
        (
            {**HOME, "STATE_DIRECTORY": "/a", "XDG_STATE_HOME": "/x", "RUNWIRE_STATE_DIR": "/r"},
            Path("/r"),
        ),
        ({**HOME, "RUNWIRE_STATE_DIR": ""}, STATE),
        ({"RUNWIRE_STATE_DIR": "here"}, Path.cwd() / "here"),
    ],
)
def test_the_state_directory_by_default(environ: dict[str, str], path: Path) -> None:
    assert default_state_dir(environ) == path
    assert load(None, environ=environ).supervisor.state_dir == path


def test_the_command_line_s_state_directory_takes_the_socket_along() -> None:
    settings = override(load(None, environ=HOME), state_dir=Path("/s"))

    assert settings.supervisor.state_dir == Path("/s")
    assert settings.web.socket == Path("/s/runwire.sock")


def test_a_socket_of_its_own_stays_where_it_was_put() -> None:
    settings = read_settings("[web]\nsocket = '/run/x.sock'\n", None, environ=HOME)

    assert override(settings, state_dir=Path("/s")).web.socket == Path("/run/x.sock")


def test_the_command_line_s_address_wins() -> None:
    settings = override(load(None, environ=HOME), bind="0.0.0.0:0")

    assert settings.web.bind == Bind("0.0.0.0", 0)
    with pytest.raises(BadValue) as caught:
        override(settings, bind="nonsense")
    assert caught.value.field == "bind"


def test_nothing_said_on_the_command_line_changes_nothing() -> None:
    settings = load(None, environ=HOME)

    assert override(settings) == settings
