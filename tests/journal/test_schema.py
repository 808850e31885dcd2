"""Opening the journal's file: new, old, newer, foreign, damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.errors import StateDirError
from supervisor.journal import Journal, open_journal, schema
from supervisor.journal.schema import MIGRATIONS, open_database
from tests.journal.conftest import Facts

HERE = Path(__file__).parent
ADD_A_COLUMN = ("ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT 'none'",)


def test_a_new_file_says_what_it_is(path: Path) -> None:
    open_database(path).close()
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA application_id").fetchone() == (0x52756E77,)
        assert plain.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_commits_are_synced_and_the_write_ahead_log_is_on(path: Path) -> None:
    with closing(open_database(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        full = 2
        assert database.execute("PRAGMA synchronous").fetchone() == (full,)


def test_a_newer_file_is_refused_and_left_alone(path: Path) -> None:
    open_database(path).close()
    with closing(sqlite3.connect(path)) as plain:
        plain.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(StateDirError, match="newer Runwire") as refusal:
        open_database(path)
    assert str(path) in refusal.value.message
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(StateDirError, match="another program"):
        open_database(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is no database\n" * 100, b"\0" * 4096])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StateDirError) as refusal:
        open_database(path)
    assert str(path) in refusal.value.message
    assert path.read_bytes() == content


def test_a_damaged_file_is_refused(path: Path) -> None:
    with closing(open_database(path)):
        pass
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 2000)
    with pytest.raises(StateDirError, match="damaged"):
        open_database(path)


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateDirError, match="cannot be opened"):
        open_database(tmp_path / "nowhere" / "journal.db")


def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StateDirError):
        open_database(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_may_not_be_written_is_refused(path: Path) -> None:
    open_database(path).close()
    path.chmod(0o400)
    with pytest.raises(StateDirError):
        open_database(path)


def test_the_documentation_names_every_table_and_column(path: Path) -> None:
    page = (HERE.parents[1] / "docs" / "journal.md").read_text("utf-8")
    with closing(open_database(path)) as database:
        names = database.execute(
            "SELECT tables.name, columns.name FROM sqlite_schema AS tables "
            "JOIN pragma_table_info (tables.name) AS columns "
            "WHERE tables.type = 'table' AND tables.name IN ('runs', 'events')"
        ).fetchall()
    assert len(names) > 10
    assert [name for pair in names for name in pair if f"`{name}`" not in page] == []
    assert f"the version of this schema: {len(MIGRATIONS)}." in page


class TestMigrations:
    """An older file is brought up to date step by step, each whole or not at all."""

    async def test_a_step_keeps_what_is_there(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copy(_version_1(path.parent), path)
        monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, ADD_A_COLUMN))
        with closing(open_database(path)) as database:
            assert database.execute("SELECT DISTINCT note FROM runs").fetchall() == [("none",)]
            assert database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        async with open_journal(path) as journal:
            await _tell_the_story_of_version_1(journal)

    def test_a_step_that_fails_leaves_the_file_as_it_was(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_database(path).close()
        broken = (*ADD_A_COLUMN, "CREATE TABLE runs (seq INTEGER)")
        monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(StateDirError, match="already exists"):
            open_database(path)
        monkeypatch.undo()
        with closing(open_database(path)) as database:
            columns = [row[1] for row in database.execute("PRAGMA table_info (runs)")]
        assert "note" not in columns


async def test_a_file_of_version_1_is_readable_for_ever(path: Path) -> None:
    async with open_journal(_version_1(path.parent)) as journal:
        await _tell_the_story_of_version_1(journal)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_a_file_of_any_version_becomes_a_current_one(
    path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in it can be read, and its tables are those of a new file."""
    shutil.copy(_version_1(path.parent), path)
    monkeypatch.setattr(schema, "MIGRATIONS", MIGRATIONS[:version])
    with closing(open_database(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (version,)
    monkeypatch.undo()
    async with open_journal(path) as journal:
        await _tell_the_story_of_version_1(journal)
    tables = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    with (
        closing(open_database(path)) as old,
        closing(open_database(path.with_name("new.db"))) as new,
    ):
        assert old.execute(tables).fetchall() == new.execute(tables).fetchall()
        assert old.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


async def test_after_a_crash_damage_is_found_at_the_start(path: Path, facts: Facts) -> None:
    """Wherever in the file it is; after an orderly end nobody reads all of it."""
    async with open_journal(path) as journal:
        for number in range(500):
            await journal.create(facts.submitted(f"r{number}"))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096)
    open_database(path).close()
    damaged = path.read_bytes()
    wal = path.with_name(path.name + "-wal")
    wal.write_bytes(b"a commit that was torn")
    with pytest.raises(StateDirError, match=r"damaged \(.*\); restore a backup"):
        open_database(path)
    assert path.read_bytes() == damaged


def _version_1(directory: Path) -> Path:
    """A journal as version 1 wrote it, with one of every kind of event."""
    path = directory / "version-1.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((HERE / "version_1.sql").read_text("utf-8"))
    return path


async def _tell_the_story_of_version_1(journal: Journal) -> None:
    kinds = {
        name: [type(event.entry.event).__name__ for event in await journal.events(name)]
        for name in ("succeeded", "failed", "cancelled")
    }
    assert kinds == {
        "succeeded": ["Submitted", "Dispatched", "Requeued", "Dispatched", "Started", "Succeeded"],
        "failed": ["Submitted", "Dispatched", "Failed"],
        "cancelled": [
            "Submitted",
            "Dispatched",
            "Started",
            "StopRequested",
            "Signalled",
            "ProgramExited",
            "Cancelled",
        ],
    }
    for name in kinds:
        assert (await journal.get(name)).status == name
