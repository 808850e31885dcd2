"""How the web pages are served: addresses, caching, headers, compression."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from tests.web.served import OpenSite, Site
from web.pages import ENTRIES, POLICY, STATIC, Pages

LINK = re.compile(r'(?:href|src)="([^"]+)"')
IMPORT = re.compile(r"^(?:import|export)\b[^'\";?=(]*['\"]([^'\"]+)['\"];", re.MULTILINE)


async def linked_files(site: Site) -> list[str]:
    """The addresses in the document, the icon's aside."""
    found = LINK.findall((await site.http.get("/ui/")).text)
    return [address for address in found if not address.startswith("data:")]


async def test_the_document_is_asked_for_again_and_says_what_may_be_loaded(site: Site) -> None:
    answer = await site.http.get("/ui/", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in POLICY.replace("style-src-attr 'unsafe-inline'", "")

    again = await site.http.get("/ui/", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["runs/abc", "jobs", "jobs/nightly%20import", "new"])
async def test_every_page_has_the_same_document(site: Site, path: str) -> None:
    answer = await site.http.get(f"/ui/{path}")
    assert (answer.status_code, answer.text) == (200, (await site.http.get("/ui/")).text)


@pytest.mark.parametrize("path", ["nothing", "runs/a/b", "s/0000/app/main.js", "index.html"])
async def test_an_address_without_a_page_is_not_found(site: Site, path: str) -> None:
    assert (await site.http.get(f"/ui/{path}")).status_code == 404


async def test_the_root_leads_to_the_pages(site: Site) -> None:
    for path in ("/", "/ui"):
        assert (await site.http.get(path)).headers["location"] == "/ui/"


async def test_files_may_be_kept_for_ever_and_are_compressed_where_that_helps(site: Site) -> None:
    files = await linked_files(site)
    assert len(files) > 40
    for address in files:
        answer = await site.http.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["vary"] == "Accept-Encoding"
        plain = await site.http.get(address, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        source = STATIC / address.split("/", 4)[4]
        assert plain.content == answer.content == source.read_bytes()
        kind = "text/css" if address.endswith(".css") else "text/javascript"
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    async with site.http.stream("GET", files[0]) as packed:
        raw = b"".join([piece async for piece in packed.aiter_raw()])
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain_of(files[0])


def plain_of(address: str) -> bytes:
    return (STATIC / address.split("/", 4)[4]).read_bytes()


async def test_every_module_that_is_imported_is_there(site: Site) -> None:
    seen: set[str] = set()
    todo = [f"/ui/{name}" for name in ENTRIES]
    todo += [address for address in await linked_files(site) if address.endswith(".js")]
    while todo:
        address = todo.pop()
        if address in seen:
            continue
        seen.add(address)
        answer = await site.http.get(address)
        assert answer.status_code == 200, address
        todo += [urljoin(address, name) for name in IMPORT.findall(answer.text)]
    modules = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*.*js")}
    served = {address.split("/", 4)[4] for address in seen if address.startswith("/ui/s/")}
    assert modules - served == set()


async def test_the_document_names_every_module_that_it_needs_and_no_other(site: Site) -> None:
    named = set(
        re.findall(r'rel="modulepreload" href="([^"]+)"', (await site.http.get("/ui/")).text)
    )
    needed: set[str] = set()
    todo = [next(address for address in named if address.endswith("/app/main.js"))]
    while todo:
        address = todo.pop()
        needed.add(address)
        imports = IMPORT.findall((await site.http.get(address)).text)
        todo += {urljoin(address, name) for name in imports} - needed
    assert named == needed


async def test_modules_for_other_front_ends_have_an_address_that_stays(site: Site) -> None:
    for name in ENTRIES:
        answer = await site.http.get(f"/ui/{name}", headers={"Origin": "https://elsewhere.example"})
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["access-control-allow-origin"] == "*"
        (target,) = IMPORT.findall(answer.text)
        file = await site.http.get(target)
        assert file.headers["access-control-allow-origin"] == "*"
        assert file.headers["cross-origin-resource-policy"] == "cross-origin"
        assert file.content == (STATIC / name).read_bytes()


async def test_a_base_path_is_in_every_address(open_site: OpenSite) -> None:
    async with open_site(base_path="/tools/runwire") as site:
        client = httpx.AsyncClient(base_url=f"http://{site.address[0]}:{site.address[1]}")
        page = await client.get("/tools/runwire/ui/")
        found = [link for link in LINK.findall(page.text) if not link.startswith("data:")]
        assert len(found) > 40
        assert all(link.startswith("/tools/runwire/ui/s/") for link in found)
        for link in found:
            assert (await client.get(link)).status_code == 200
        module = await client.get("/tools/runwire/ui/runs.js")
        assert '"/tools/runwire/ui/s/' in module.text
        assert (await client.get("/tools/runwire/")).headers["location"] == "/tools/runwire/ui/"
        await client.aclose()


async def test_head_tells_the_same_without_the_body(site: Site) -> None:
    answer = await site.http.head("/ui/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_the_address_changes_with_any_file(tmp_path: Path) -> None:
    static = tmp_path / "static"
    shutil.copytree(STATIC, static)
    before = Pages("", static).digest
    assert Pages("", static).digest == before
    with (static / "styles" / "app.css").open("a") as file:
        file.write("\n")
    assert Pages("", static).digest != before


def test_no_file_of_ours_makes_markup_from_text() -> None:
    """Text becomes text nodes: nothing that a program printed can become an element."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    )
    ours = [path for path in STATIC.rglob("*.js") if "vendor" not in path.parts]
    assert len(ours) > 30
    assert [path.name for path in ours if forbidden.search(path.read_text("utf-8"))] == []


async def test_nobody_needs_a_token_for_them_and_none_is_in_them(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.http.base_url) as stranger:
        assert (await stranger.get("/ui/")).status_code == 200
