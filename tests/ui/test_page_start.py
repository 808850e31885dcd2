"""Starting jobs with their parameters, and commands that are no job."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.ui.browsing import Tab
from tests.ui.serving import Server


def test_a_job_s_form_has_a_control_for_each_parameter(tab: Tab, server: Server) -> None:
    page = tab.open("jobs")
    page.get_by_role("link", name="Start form").click()
    expect(page.get_by_label("count")).to_have_value("2")
    expect(page.get_by_label("ratio")).to_have_value("0.5")
    expect(page.get_by_label("color")).to_have_value("green")
    expect(page.get_by_label("loud")).not_to_be_checked()
    expect(page.locator("#param-count-hint")).to_have_text("How many · a whole number from 1 to 8")
    page.get_by_label("word").fill("hello")
    page.get_by_label("color").select_option("red")
    page.get_by_label("loud").check()
    page.get_by_role("button", name="Start form").click()
    tab.complete()
    assert tab.output() == ["2", "0.5", "hello", "red", "true"]


def test_what_is_wrong_is_said_at_its_field(tab: Tab) -> None:
    tab.forgive("422")
    page = tab.open("jobs/form")
    page.get_by_label("count").fill("9")
    page.get_by_label("word").fill("hello")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#param-count-error")).to_contain_text("from 1 to 8")
    expect(page.get_by_label("count")).to_be_focused()
    page.get_by_label("count").fill("8")
    page.get_by_label("word").fill("")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#param-word-error")).to_contain_text("ust be given")
    expect(page.locator("#param-count-error")).to_be_hidden()
    page.get_by_label("word").fill("fine")
    page.keyboard.press("Control+Enter")
    tab.complete()


def test_a_form_can_be_filled_in_as_last_time(tab: Tab, server: Server) -> None:
    params = {"count": 5, "ratio": 2.5, "word": "again", "color": "red", "loud": True}
    server.ended(server.start(job="form", params=params))
    page = tab.open("jobs/form")
    page.get_by_role("button", name="As last time").click()
    page.get_by_role("button", name="Start form").click()
    tab.complete()
    assert tab.output() == ["5", "2.5", "again", "red", "true"]


def test_a_shell_line_runs_and_so_does_a_program_with_its_arguments(tab: Tab) -> None:
    page = tab.open("new")
    page.get_by_label("Command").fill("echo $((6 * 7)) | cat")
    page.get_by_role("button", name="Run", exact=True).click()
    tab.complete()
    assert tab.output() == ["42"]

    tab.open("new")
    page.get_by_label("Command").fill("printf\n%s|\na b\n$HOME")
    page.get_by_label("Run it as").select_option("a program, then one argument a line")
    page.get_by_text("More").click()
    page.get_by_label("Directory").fill("/")
    page.get_by_label("Time limit").fill("1m")
    page.get_by_label("Tags").fill("one two")
    page.get_by_role("button", name="Run", exact=True).click()
    tab.complete()
    assert tab.output() == ["a b|$HOME|"]
    expect(page.locator(".facts")).to_contain_text("In/")


def test_a_command_that_is_refused_says_why(tab: Tab) -> None:
    tab.forgive("422")
    page = tab.open("new")
    page.get_by_label("Command").fill("true")
    page.get_by_text("More").click()
    page.get_by_label("Time limit").fill("soon")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#timeout-error")).to_have_text(re.compile(r"\w+"))
    expect(page.get_by_label("Time limit")).to_be_focused()


def test_an_unknown_job_is_said_in_words(tab: Tab) -> None:
    tab.forgive("404")
    page = tab.open("jobs/no-such-job")
    expect(page.get_by_role("heading")).to_have_text("There is no such job")
