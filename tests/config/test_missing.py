"""What jobs need and this machine lacks, for `runwire check`."""

from __future__ import annotations

from pathlib import Path

from supervisor.config.missing import missing_here
from supervisor.spec import Job, Param, ParamKind


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    job = Job(name="a", command=("sh",), cwd=str(tmp_path / "gone"))

    assert missing_here([job]) == (f"job a: key cwd: there is no directory {tmp_path}/gone here",)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    job = Job(name="a", command=("no-such-program-here",), cwd=str(tmp_path))

    assert missing_here([job]) == (
        "job a: key command: there is no program no-such-program-here here",
    )


def test_a_program_is_looked_for_where_the_run_would_look(tmp_path: Path) -> None:
    """On the job's own PATH, and from its directory if it has a slash."""
    program = tmp_path / "bin" / "tool"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    by_path = Job(name="a", command=("tool",), cwd="/", env={"PATH": str(program.parent)})
    by_place = Job(name="b", command=("bin/tool",), cwd=str(tmp_path))

    before = missing_here([by_path, by_place])
    program.chmod(0o755)

    assert before == (
        "job a: key command: there is no program tool here",
        "job b: key command: there is no program bin/tool here",
    )
    assert missing_here([by_path, by_place]) == ()


def test_a_program_that_a_parameter_names_cannot_be_looked_for(tmp_path: Path) -> None:
    params = {"tool": Param(type=ParamKind.STRING)}
    job = Job(name="a", command=("{tool}",), cwd=str(tmp_path), params=params)

    assert missing_here([job]) == ()


def test_a_shell_line_needs_only_its_directory(tmp_path: Path) -> None:
    assert missing_here([Job(name="a", shell="no-such-program", cwd=str(tmp_path))]) == ()


def test_an_env_file_that_is_not_there_or_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.env"
    job = Job(name="a", command=("sh",), cwd="/", env_file=str(file))
    gone = missing_here([job])
    file.write_text("A=1\nhunter2\n")
    wrong = missing_here([job])
    file.write_text("A=1\n")

    assert gone == (f"job a: key env_file: {file}: No such file or directory",)
    assert wrong == (f"job a: key env_file: {file}: line 2: must be NAME=VALUE",)
    assert missing_here([job]) == ()
