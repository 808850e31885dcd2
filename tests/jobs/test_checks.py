"""What a value must be to mean anything to a run."""

from __future__ import annotations

import pytest

from supervisor.errors import BadValue
from supervisor.jobs.checks import (
    check_command,
    check_env,
    check_priority,
    check_tags,
    check_timeout,
    path_problem,
    text_problem,
)


@pytest.mark.parametrize(
    ("command", "shell", "field"),
    [
        ((), None, "command"),
        (("",), None, "command"),
        (("echo", "a\0b"), None, "command[1]"),
        (("echo", "x" * 65537), None, "command[1]"),
        (None, "", "shell"),
        (None, "  \n", "shell"),
        (None, "echo \0", "shell"),
    ],
)
def test_a_command_that_nothing_can_execute_is_refused(
    command: tuple[str, ...] | None, shell: str | None, field: str
) -> None:
    with pytest.raises(BadValue) as caught:
        check_command(command, shell)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("command", "shell"), [(("echo", ""), None), (None, "echo hi | wc -l"), (("\u00e4",), None)]
)
def test_a_command_may_have_empty_arguments_and_any_text(
    command: tuple[str, ...] | None, shell: str | None
) -> None:
    check_command(command, shell)


@pytest.mark.parametrize(
    "name", ["", "A=B", "A\0", "RUNWIRE_RUN_ID", "RUNWIRE_PARAM_SHARD", "RUNWIRE_ANYTHING"]
)
def test_a_variable_needs_a_name_that_is_free(name: str) -> None:
    with pytest.raises(BadValue) as caught:
        check_env({"GOOD": "1", name: "x"})

    assert caught.value.field == f"env.{name}"


def test_a_variable_s_value_is_any_text_without_nul() -> None:
    check_env({"A": "", "B": "a=b\n\u00e4", "a.b": "odd but legal"})

    with pytest.raises(BadValue):
        check_env({"A": "\0"})


def test_the_variables_of_our_own_client_may_be_set() -> None:
    """So that a job can talk to a server: `RUNWIRE_URL` says to which."""
    check_env({"RUNWIRE_URL": "http://127.0.0.1:4000", "RUNWIRE_TOKEN": "x"})


def test_a_timeout_is_longer_than_nothing() -> None:
    assert check_timeout("90s") == 90
    with pytest.raises(BadValue, match="leave it out for no limit"):
        check_timeout("0s", field="timeout")


@pytest.mark.parametrize("value", [-1000, 0, 1000])
def test_a_priority_is_within_bounds(value: int) -> None:
    assert check_priority(value) == value


@pytest.mark.parametrize("value", [-1001, 1001, 10**30])
def test_a_priority_beyond_is_refused(value: int) -> None:
    with pytest.raises(BadValue, match="must be a whole number from -1000 to 1000"):
        check_priority(value)


def test_tags_lose_their_repeats_and_keep_their_order() -> None:
    assert check_tags(["b", "a", "b", "team:x/y@z"]) == ("b", "a", "team:x/y@z")


@pytest.mark.parametrize("tag", ["", "a b", "a,b", "-a", "x" * 65, "\u00e4", "a\n"])
def test_a_tag_is_one_plain_word(tag: str) -> None:
    with pytest.raises(BadValue) as caught:
        check_tags(["ok", tag])

    assert caught.value.field == "tags"


def test_there_is_an_end_to_tags() -> None:
    with pytest.raises(BadValue, match="too many tags: 33, 32 are allowed"):
        check_tags([f"t{n}" for n in range(33)])


@pytest.mark.parametrize("path", ["", "~", "~/data", "a\0b"])
def test_a_path_is_no_shell_s_shorthand(path: str) -> None:
    assert path_problem(path) is not None


@pytest.mark.parametrize("path", ["/", ".", "../x", "a b", "x~"])
def test_other_paths_are_paths(path: str) -> None:
    assert path_problem(path) is None


def test_text_that_a_program_can_be_given_has_no_problem() -> None:
    assert text_problem("x" * 65536) is None
