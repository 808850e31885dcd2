"""reload, install-service and uninstall-service; the service itself is tested under systemd."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from pathlib import Path

import msgspec
import trio

from supervisor.model import Status
from supervisor.wire import JobList, ReloadReport
from tests.cli.conftest import RUNWIRE, Server, clean_environment, serving
from tests.gate import Gate
from tests.patience import PATIENCE_S

SERVE_AT_STDIN = """
export LISTEN_PID=$$ LISTEN_FDS=1
exec "$0" serve --config jobs.toml --bind 127.0.0.1:0 --state-dir s 3<&0 0< /dev/null
"""


def jobs(server: Server) -> list[str]:
    return [job.name for job in msgspec.json.decode(server.get("/jobs"), type=JobList).jobs]


def test_reload_puts_a_changed_file_into_effect_and_tells_what_it_changed(
    own_server: Server,
) -> None:
    file = own_server.directory / "jobs.toml"
    assert own_server.output("reload") == "nothing has changed\n"
    text = file.read_text().replace("[jobs.both]", "[jobs.new]").replace("exit 3", "exit 4")
    file.write_text(text.replace("[supervisor]", "[supervisor]\nmax_running = 1\ndrain = '9s'"))
    assert own_server.json(ReloadReport, "reload", "--json") == ReloadReport(
        added=("new",),
        removed=("both",),
        settings=("supervisor.max_running",),
        needs_restart=("supervisor.drain",),
    )
    assert "new" in jobs(own_server)
    assert "both" not in jobs(own_server)
    assert own_server.run("run", "new").returncode == 4
    assert own_server.run("run", "both").returncode == 66


def test_a_mistake_in_the_file_changes_nothing_and_is_told(own_server: Server) -> None:
    file = own_server.directory / "jobs.toml"
    file.write_text(file.read_text() + "[jobs.wrong]\ncommand = 7\n[jobs.other]\nshel = 'x'\n")
    before = jobs(own_server)
    done = own_server.run("reload")
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"wrong" in done.stderr
    assert b'"shell"' in done.stderr
    assert jobs(own_server) == before


async def test_sighup_reloads_and_never_ends_the_server(own_server: Server) -> None:
    file = own_server.directory / "jobs.toml"
    file.write_text(file.read_text() + "[jobs.later]\ncommand = ['true']\n")
    assert own_server.process is not None
    own_server.process.send_signal(signal.SIGHUP)
    with trio.fail_after(PATIENCE_S):
        while "later" not in jobs(own_server):  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.01)


async def test_drain_waits_for_the_last_run_and_starts_no_more(tmp_path: Path) -> None:
    """What waits goes on waiting, and is started by the next server."""
    server = Server(tmp_path, "max_running = 1")
    with serving(server), trio.fail_after(PATIENCE_S):
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        server.submit("--id", "last", "--shell", f"read _ < {gate}")
        server.submit("--id", "waits", "--", "true")
        async with server.running("drain", "--exit") as draining:
            while server.run("submit", "--", "true").returncode != 75:
                await trio.lowlevel.checkpoint()
            assert b"the server is draining" in server.get("/readyz")
            assert server.run_view("last").status is Status.RUNNING
            gate.write_text("go\n")
            assert await draining.wait() == 0
        assert server.process is not None
        assert await trio.to_thread.run_sync(server.process.wait) == 0
        server.process.communicate()
        server.start()
        assert server.run_view("last").status is Status.SUCCEEDED
        while server.run_view("waits").status is not Status.SUCCEEDED:
            await trio.lowlevel.checkpoint()


async def test_who_waits_for_the_end_of_a_drain_does_not_have_the_service_started_again(
    tmp_path: Path,
) -> None:
    """Its service manager keeps the sockets, and starts it for whoever connects."""
    server = Server(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening, trio.fail_after(PATIENCE_S):
        server.state.mkdir()
        listening.bind(server.socket)
        listening.listen()
        process = subprocess.Popen(
            ["sh", "-c", SERVE_AT_STDIN, RUNWIRE],
            stdin=listening.fileno(),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            env=clean_environment(),
        )
        try:
            gate = Gate(tmp_path / "gate")
            server.submit("--shell", gate.wait)
            async with server.running("drain", "--exit") as draining:
                while b"draining" not in server.get("/readyz"):
                    await trio.lowlevel.checkpoint()
                await gate.open()
                assert await draining.wait() == 0
            assert await trio.to_thread.run_sync(process.wait) == 0
            assert select.select([listening], [], [], 0)[0] == []
        finally:
            process.kill()
            process.wait()


def test_drain_without_anything_that_runs_returns_at_once(own_server: Server) -> None:
    assert own_server.output("drain") == "nothing runs; 0 queued\n"
    assert own_server.process is not None
    assert own_server.process.poll() is None


def test_a_token_without_the_right_cannot_reload(own_server: Server) -> None:
    token = own_server.output("token", "create", "--scope", "runs:read").strip()
    done = own_server.run("reload", "--url", own_server.url, "--token", token, RUNWIRE_SOCKET="")
    assert done.returncode == 77


def test_install_service_shows_what_it_would_do(server: Server) -> None:
    done = server.run("install-service", "--dry-run", "--drop-in", "50-tight", "--now")
    assert done.returncode == 0
    for line in (
        "write  /etc/systemd/system/runwire.service",
        "write  /etc/systemd/system/runwire.socket",
        "write  /etc/systemd/system/runwire.service.d/50-tight.conf",
        "write  /etc/sysusers.d/runwire.conf",
        "run    systemctl enable --now runwire.socket runwire.service",
    ):
        assert line in done.stdout.decode().splitlines()


def test_install_service_for_one_user_writes_below_their_config(server: Server) -> None:
    home = server.directory / "home"
    done = server.run("install-service", "--user", "--dry-run", XDG_CONFIG_HOME=str(home))
    assert f"write  {home}/systemd/user/runwire.service" in done.stdout.decode().splitlines()
    assert f"write  {home}/runwire/jobs.toml" in done.stdout.decode().splitlines()
    assert not home.exists()


def test_a_service_of_one_user_has_the_state_that_the_command_line_looks_for(
    server: Server,
) -> None:
    home = server.directory / "home3"
    manager = server.directory / "systemctl"
    manager.write_text("#!/bin/sh\ntrue\n")
    manager.chmod(0o755)
    done = server.run(
        "install-service",
        "--user",
        PATH=f"{server.directory}:{os.environ['PATH']}",
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_STATE_HOME=str(home / "state"),
        RUNWIRE_STATE_DIR="",
    )
    assert done.returncode == 0
    units = home / "config/systemd/user"
    state = home / "state/runwire"
    assert f"Environment=RUNWIRE_STATE_DIR={state}\n" in (units / "runwire.service").read_text()
    assert f"ListenStream={state}/runwire.sock\n" in (units / "runwire.socket").read_text()


def test_a_service_of_one_user_is_refused_what_it_cannot_have(server: Server) -> None:
    home = server.directory / "home4"
    asked = server.run("install-service", "--user", "--drop-in", "50-tight")
    assert (asked.returncode, b"whole machine" in asked.stderr) == (2, True)
    told = server.run(
        "install-service",
        "--user",
        XDG_CONFIG_HOME=str(home),
        XDG_STATE_HOME="/my state",
        RUNWIRE_STATE_DIR="",
    )
    assert (told.returncode, b"/my state/runwire has characters" in told.stderr) == (65, True)
    assert not home.exists()


def test_install_service_writes_over_nothing_that_is_not_its_own(server: Server) -> None:
    home = server.directory / "home5"
    unit = home / "systemd" / "user" / "runwire.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    for more in ((), ("--dry-run",)):
        done = server.run("install-service", "--user", *more, XDG_CONFIG_HOME=str(home))
        assert f"{unit} is somebody else's".encode() in done.stderr
        assert done.returncode == (0 if more else 65)
    assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert [path.name for path in unit.parent.iterdir()] == ["runwire.service"]


def test_uninstall_service_takes_only_what_was_installed(server: Server) -> None:
    home = server.directory / "home2"
    unit = home / "systemd" / "user" / "runwire.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    done = server.run("uninstall-service", "--user", XDG_CONFIG_HOME=str(home))
    assert (done.returncode, done.stdout) == (66, b"")
    assert unit.exists()
