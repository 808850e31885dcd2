"""`runwire token`, against a real server."""

from __future__ import annotations

import signal
import subprocess
from datetime import UTC, datetime
from typing import Any

import jwt
import msgspec
import pytest

from supervisor.cli.exitcodes import ExitCode, code_of_error
from supervisor.errors import StateDirError
from supervisor.wire import NewToken, TokenList, TokenView
from tests.cli.conftest import RUNWIRE, Server, on_terminal
from tests.patience import PATIENCE_S


def create(server: Server, *options: str) -> str:
    return server.output("token", "create", *(options or ("--scope", "runs:read"))).strip()


def jti_of(token: str) -> str:
    return str(said(token)["jti"])


def said(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def view_of(server: Server, jti: str) -> TokenView:
    listed: TokenList = server.json(TokenList, "token", "list", "--json")
    return next(view for view in listed.tokens if view.jti == jti)


def fields_of(server: Server, jti: str) -> list[str]:
    """What the list tells a program of a token."""
    rows = [line.split("\t") for line in server.output("token", "list").splitlines()]
    return next(row for row in rows if row[0] == jti)


def with_token(server: Server, token: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A command over TCP, with a token and nothing else."""
    return server.run(*arguments, RUNWIRE_SOCKET="", RUNWIRE_URL=server.url, RUNWIRE_TOKEN=token)


def test_create_prints_a_token_and_nothing_else(server: Server) -> None:
    done = server.run("token", "create", "--scope", "runs:read")
    assert (done.returncode, done.stderr) == (0, b"")
    token = done.stdout.decode().removesuffix("\n")
    assert token.count(".") == 2
    assert with_token(server, token, "list").returncode == 0
    refused = with_token(server, token, "submit", "greet")
    assert (refused.returncode, b"runs:submit" in refused.stderr) == (ExitCode.DENIED, True)


def test_create_says_what_the_token_is_to_say(server: Server) -> None:
    options = ["--scope", "runs:read", "--scope", "runs:submit runs:cancel", "--sub", "ci"]
    options += ["--run", "ci-*", "--run", "x", "--job", "gr?et", "--lifetime", "90m"]
    claims = said(create(server, *options))
    assert claims["scope"] == "runs:read runs:submit runs:cancel"
    assert (claims["sub"], claims["runs"], claims["jobs"]) == ("ci", ["ci-*", "x"], ["gr?et"])
    assert claims["exp"] - claims["iat"] == 90 * 60


def test_create_can_tell_all_as_json(server: Server) -> None:
    new = server.json(NewToken, "token", "create", "--scope", "admin", "--json")
    assert new.jti == jti_of(new.token)
    assert new.expires_at.timestamp() == said(new.token)["exp"]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ([], ExitCode.USAGE, b"--scope"),
        (["--scope", "root"], ExitCode.REFUSED, b"scope: there is no scope"),
        (["--scope", "admin", "--lifetime", "soon"], ExitCode.REFUSED, b"lifetime: "),
        (["--scope", "admin", "--run", "a b"], ExitCode.REFUSED, b"runs: "),
    ],
)
def test_what_makes_no_sense_is_refused(
    server: Server, options: list[str], code: ExitCode, told: bytes
) -> None:
    done = server.run("token", "create", *options)
    assert (done.returncode, done.stdout) == (code, b"")
    assert told in done.stderr


def test_list_shows_tokens_without_the_token(server: Server) -> None:
    token = create(server, "--scope", "runs:read", "--sub", "lister", "--job", "gr*")
    jti = jti_of(token)
    fields = fields_of(server, jti)
    assert fields[:3] == [jti, "lister", "runs:read jobs=gr*"]
    assert fields[4] == "good"
    assert datetime.fromisoformat(fields[3]).timestamp() == said(token)["exp"]
    assert token.split(".")[2] not in server.output("token", "list", "--json")


def test_list_is_for_people_on_a_terminal(server: Server) -> None:
    create(server)
    shown = on_terminal(server, "token", "list", COLUMNS="160")
    assert "EXPIRES" in shown
    assert "in 23h59m" in shown


def test_revoke_by_name(server: Server) -> None:
    token = create(server)
    assert server.output("token", "revoke", jti_of(token)) == ""
    assert with_token(server, token, "list").returncode == ExitCode.DENIED
    assert view_of(server, jti_of(token)).revoked_at is not None
    assert fields_of(server, jti_of(token))[4] == "revoked"


def test_revoke_takes_whole_tokens_and_several(server: Server) -> None:
    one, other = create(server), create(server)
    server.output("token", "revoke", one, jti_of(other))
    for token in (one, other):
        assert with_token(server, token, "list").returncode == ExitCode.DENIED


def test_revoke_reads_a_token_from_stdin(server: Server) -> None:
    """Everybody on the machine can read a command's arguments."""
    token = create(server)
    command = [RUNWIRE, "token", "revoke", "-"]
    done = subprocess.run(
        command,
        env=server.environment,
        input=f"{token}\n".encode(),
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0
    assert view_of(server, jti_of(token)).revoked_at is not None


def test_revoke_ends_a_token_that_the_server_did_not_make(server: Server) -> None:
    key = (server.state / "token.key").read_text()
    exp = int(datetime.now(UTC).timestamp()) + 600
    foreign = jwt.encode({"scope": "runs:read", "exp": exp, "jti": "foreign"}, key, "HS256")
    assert with_token(server, foreign, "list").returncode == 0
    assert server.run("token", "revoke", "foreign").returncode == ExitCode.NOT_FOUND
    server.output("token", "revoke", foreign)
    assert with_token(server, foreign, "list").returncode == ExitCode.DENIED


@pytest.mark.parametrize("name", ["unknown", "a b", "..", "../runs", "a/b", "é"])
def test_revoke_says_that_there_is_no_such_token(server: Server, name: str) -> None:
    done = server.run("token", "revoke", name)
    assert done.returncode == ExitCode.NOT_FOUND
    assert b"token" in done.stderr


def test_a_token_without_name_cannot_be_revoked(server: Server) -> None:
    nameless = jwt.encode({"exp": 1}, "k" * 32, "HS256")
    done = server.run("token", "revoke", nameless)
    assert (done.returncode, b"no name (jti)" in done.stderr) == (ExitCode.REFUSED, True)


class TestRestarts:
    """The real server, killed and started again on its state directory."""

    def test_tokens_and_revocations_stay(self, own_server: Server) -> None:
        key = own_server.state / "token.key"
        before = (key.read_bytes(), key.stat().st_mode & 0o777)
        kept, ended = create(own_server), create(own_server)
        own_server.output("token", "revoke", ended)
        own_server.stop(signal.SIGKILL)
        own_server.start()
        assert with_token(own_server, kept, "list").returncode == 0
        assert with_token(own_server, ended, "list").returncode == ExitCode.DENIED
        assert (key.read_bytes(), key.stat().st_mode & 0o777) == before
        assert before[1] == 0o600

    def test_removing_the_key_ends_every_token(self, own_server: Server) -> None:
        token = create(own_server)
        own_server.stop()
        (own_server.state / "token.key").unlink()
        own_server.start()
        assert with_token(own_server, token, "list").returncode == ExitCode.DENIED
        assert with_token(own_server, create(own_server), "list").returncode == 0

    def test_a_key_that_others_can_read_stops_the_start(self, own_server: Server) -> None:
        own_server.stop()
        (own_server.state / "token.key").chmod(0o644)
        done = own_server.run("serve", "--bind", "127.0.0.1:0", "--state-dir", "s")
        assert done.returncode == code_of_error(StateDirError(""))
        assert b"chmod 600" in done.stderr.splitlines()[-1]

    def test_a_key_file_that_is_wrong_stops_the_start_and_is_named(
        self, own_server: Server
    ) -> None:
        own_server.stop()
        (own_server.directory / "wrong.pem").write_text("no key")
        auth = '[auth]\nkeys = ["gone.pem", "wrong.pem"]\n'
        (own_server.directory / "jobs.toml").write_text(auth)
        done = own_server.run("serve", "--bind", "127.0.0.1:0", "--state-dir", "s")
        assert (done.returncode, done.stdout) == (ExitCode.CONFIG, b"")
        assert b"gone.pem: cannot be read: No such file" in done.stderr
        assert b"wrong.pem: holds no public key" in done.stderr

    def test_a_configured_key_counts(self, own_server: Server) -> None:
        secret = "a secret that two programs on this machine share"
        own_server.stop()
        (own_server.directory / "shared").write_text(secret)
        auth = '[auth]\nkeys = [{ file = "shared", algorithm = "HS256" }]\naudience = "rw"\n'
        (own_server.directory / "jobs.toml").write_text(auth)
        own_server.start()
        claims = {"scope": "runs:read", "exp": int(datetime.now(UTC).timestamp()) + 60}
        for aud, code in (("rw", 0), ("other", ExitCode.DENIED)):
            token = jwt.encode(claims | {"aud": aud}, secret, "HS256")
            assert with_token(own_server, token, "list").returncode == code
        assert said(create(own_server))["aud"] == "rw"


class TestInspect:
    """It needs no server."""

    def inspect(self, server: Server, *arguments: str) -> str:
        done = server.run("token", "inspect", *arguments, RUNWIRE_SOCKET="/nowhere")
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    def test_it_shows_header_and_claims_with_dates_in_words(self, server: Server) -> None:
        claims = {"sub": "anna", "exp": 4102444800, "iat": 1, "runs": ["a*"], "x": {"y": 1}}
        token = jwt.encode(claims, "k" * 32, "HS256", headers={"kid": "k7"})
        shown = dict(line.split(":", 1) for line in self.inspect(server, token).splitlines())
        facts = {name: value.strip() for name, value in shown.items()}
        assert facts["kid"] == "k7"
        assert facts["sub"] == "anna"
        assert facts["exp"].startswith(("2099-12-31", "2100-01-01"))
        assert facts["runs"] == '["a*"]'
        assert facts["x"] == '{"y":1}'
        assert facts["checked"] == "nothing of it"

    def test_it_says_that_a_token_has_expired(self, server: Server) -> None:
        assert "which is over" in self.inspect(server, jwt.encode({"exp": 1}, "k" * 32, "HS256"))

    def test_as_json(self, server: Server) -> None:
        token = create(server)
        told = msgspec.json.decode(self.inspect(server, "--json", token))
        assert told == {"header": jwt.get_unverified_header(token), "claims": said(token)}

    def test_from_stdin(self, server: Server) -> None:
        token = create(server)
        done = subprocess.run(
            [RUNWIRE, "token", "inspect"],
            env=server.environment,
            input=token.encode(),
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert jti_of(token).encode() in done.stdout

    def test_what_would_act_on_the_terminal_is_made_visible(self, server: Server) -> None:
        token = jwt.encode({"sub": "\x1b[31mred"}, "k" * 32, "HS256")
        assert "\x1b" not in self.inspect(server, token)

    @pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.W10.x", "e30.!.x", "é.é.é", "e30.e30"])
    def test_what_is_no_token_is_refused_in_a_line(self, server: Server, text: str) -> None:
        done = server.run("token", "inspect", text)
        assert done.returncode == ExitCode.REFUSED
        assert done.stderr.startswith(b"runwire: this is no token")
        assert done.stderr.count(b"\n") == 1

    def test_odd_dates_are_shown_as_they_are(self, server: Server) -> None:
        token = jwt.encode({"exp": 10**30, "nbf": -5, "x": True}, "k" * 32, "HS256")
        assert "-5" in self.inspect(server, token)
