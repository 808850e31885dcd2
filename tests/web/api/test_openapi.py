"""The document and the server say the same."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from supervisor import errors
from supervisor.access.claims import Scope
from tests.web.served import Site
from web.api.endpoints import ROUTES
from web.api.openapi import document, with_document

ALL = with_document(ROUTES, "")


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The document as a client reads it."""
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(ALL, "")))
    return decoded


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


async def test_it_is_served_to_everybody(site: Site) -> None:
    answer = await site.http.get("/openapi.json", headers={"Authorization": "Bearer no"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["openapi"] == "3.1.0"


def test_it_has_every_endpoint_and_no_other(described: dict[str, Any]) -> None:
    told = {(method.upper(), path) for path, of in described["paths"].items() for method in of}
    assert told == {(route.method, route.path) for route in ALL}


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    found = set(references(described))
    schemas = described["components"]["schemas"]
    assert found == {f"#/components/schemas/{ref.rpartition('/')[2]}" for ref in found}
    assert {ref.rpartition("/")[2] for ref in found} <= set(schemas)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(
    described: dict[str, Any],
) -> None:
    operations = [of for path in described["paths"].values() for of in path.values()]
    names = [of["operationId"] for of in operations]
    assert len(names) == len(set(names))
    for of in operations:
        assert of["summary"].endswith(".")


def test_every_parameter_of_a_path_is_described(described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        for of in methods.values():
            named = {p["name"] for p in of.get("parameters", []) if p["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


@pytest.mark.parametrize("route", ALL, ids=lambda route: f"{route.method} {route.path}")
def test_what_the_table_says_is_in_it(described: dict[str, Any], route: Any) -> None:
    of = described["paths"][route.path][route.method.lower()]
    statuses = {int(status) for status in of["responses"]}
    assert set(route.answers) <= statuses
    for scope in route.scopes:
        assert scope in of["description"]
        assert {"token": [scope]} in of["security"]
    if route.scopes:
        assert {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} <= statuses
    told = " ".join(answer["description"] for answer in of["responses"].values())
    for problem in route.problems:
        assert f"`{problem.code}`" in told
    if route.query is not None:
        names = {field.encode_name for field in msgspec.structs.fields(route.query)}
        assert names == {p["name"] for p in of["parameters"] if p["in"] == "query"}
        assert all(p["description"] for p in of["parameters"] if p["in"] == "query")
    assert ("requestBody" in of) == (route.body is not None or route.raw_body)


def test_each_error_and_each_scope_it_names_exists() -> None:
    for route in ALL:
        assert all(issubclass(problem, errors.RunwireError) for problem in route.problems)
        assert all(isinstance(scope, Scope) for scope in route.scopes)


def test_a_body_that_may_be_left_out_is_told_so(described: dict[str, Any]) -> None:
    paths = described["paths"]
    assert paths["/runs/{id}/cancel"]["post"]["requestBody"]["required"] is False
    assert paths["/runs/{id}/signal"]["post"]["requestBody"]["required"] is True
