"""Programs from the npm registry: installed by npm, once for each lock."""

import json
from pathlib import Path

import pytest

from tools.base import Refusal
from tools.npm import PROGRAMS, need_programs

NPM = """#!/bin/sh
echo "$@" >> {directory}/asked
exit $(cat {directory}/status)
"""


class Machine:
    """A directory with a lock, and an npm that notes what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lock = directory / "package-lock.json"
        self.lock.write_text("{}")
        self.answer(0)
        (directory / "bin").mkdir()
        npm = directory / "bin" / "npm"
        npm.write_text(NPM.format(directory=directory))
        npm.chmod(0o755)

    def answer(self, status: int) -> None:
        (self.directory / "status").write_text(str(status))

    def asked(self) -> list[str]:
        noted = self.directory / "asked"
        return noted.read_text().splitlines() if noted.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return made


def test_what_the_lock_names_is_installed_once_and_again_when_it_changes(machine: Machine) -> None:
    for text, times in (("{}", 1), ("{}", 1), ('{"a": 1}', 2), ('{"a": 1}', 2), ("{}", 3)):
        machine.lock.write_text(text)
        need_programs(machine.directory)
        assert len(machine.asked()) == times
    assert machine.asked()[0].startswith(f"ci --prefix {machine.directory} --ignore-scripts")


def test_what_could_not_be_installed_is_told_and_tried_again(machine: Machine) -> None:
    machine.answer(1)
    for times in (1, 2):
        with pytest.raises(Refusal, match="npm could not install"):
            need_programs(machine.directory)
        assert len(machine.asked()) == times
    machine.answer(0)
    need_programs(machine.directory)


def test_the_lock_holds_a_hash_and_no_address_for_everything() -> None:
    lock = json.loads((PROGRAMS / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert {"node_modules/socket.io-client", "node_modules/wscat"} <= set(packages)
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry
