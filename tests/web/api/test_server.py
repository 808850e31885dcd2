"""The server itself over HTTP."""

import pytest

from tests.web.served import Site


async def test_alive_and_ready(site: Site) -> None:
    health = await site.http.get("/healthz")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    ready = await site.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (
        200,
        {"ready": True, "problems": [], "tracking": site.supervisor.tracking},
    )


async def test_what_is_in_the_way_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def troubled() -> list[str]:
        return ["the disk is full: run 17 waits"]

    monkeypatch.setattr(site.supervisor, "check_ready", troubled)
    answer = await site.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert answer.json()["problems"] == ["the disk is full: run 17 waits"]


async def test_the_root_leads_to_the_pages(site: Site) -> None:
    for path in ("/", "/ui"):
        answer = await site.http.get(path)
        assert (answer.status_code, answer.headers["location"]) == (302, "/ui/")
    page = await site.http.get("/ui/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Runwire" in page.text
