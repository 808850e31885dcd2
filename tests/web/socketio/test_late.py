"""The libraries for Socket.IO are imported when the first client comes, and hold up nobody."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.web.polled import Polling
from tests.web.served import Site

LIBRARIES = ("engineio", "socketio")
# Tells in which thread each library was imported, if it was.
IMPORTED_IN = f"""
import sys, threading

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in {LIBRARIES}:
            print(name, threading.current_thread() is threading.main_thread())

sys.meta_path.insert(0, Watch())
"""
COME = """
import trio
from web.socketio.late import LateSocketIo
from supervisor.config.bind import Bind
from supervisor.config.settings import WebSettings
from web.auth.auth import Auth

async def come():
    async with trio.open_nursery() as nursery:
        settings = WebSettings(bind=Bind("127.0.0.1", 0), socket=None)
        door = LateSocketIo(None, settings, Auth({}), trio.Event(), nursery)
        found = []
        async def knock():
            found.append(await door.opened())
        async with trio.open_nursery() as clients:
            for _ in range(5):
                clients.start_soon(knock)
        print(len(found), len(set(found)))

trio.run(come)
"""


def python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["supervisor.daemon", "supervisor.cli.main"])
def test_a_server_starts_without_them(module: str) -> None:
    assert python(f"{IMPORTED_IN}\nimport {module}") == ""


def test_they_are_imported_in_a_thread_when_clients_come() -> None:
    *imported, found = python(IMPORTED_IN + COME).splitlines()
    assert sorted(imported) == [f"{name} False" for name in LIBRARIES]
    assert found == "5 1"


async def test_the_first_client_notices_nothing(site: Site) -> None:
    await Polling(site).open("x")
