"""The OpenAPI 3.1 document, made of the table of endpoints and the types that decode requests."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct
from quart import Response

from supervisor import errors
from supervisor.wire import Problem
from web.api.call import JSON, LINES_TYPE, Call
from web.api.route import Route
from web.problems import PROBLEM_TYPE, status_of_kind

_PARAMETER = re.compile(r"\{(\w+)\}")
_NOT_WORD = re.compile(r"\W+")
BYTES = "application/octet-stream"
_REF = "#/components/schemas/{name}"
_GUARD = (errors.Unauthenticated, errors.Forbidden)


def with_document(routes: Sequence[Route], base_path: str) -> tuple[Route, ...]:
    """`routes`, and one more that describes them all."""
    own = Route(
        method="GET",
        path="/openapi.json",
        handler=this_document,
        answers={HTTPStatus.OK: None},
    )
    text = msgspec.json.encode(document((*routes, own), base_path))
    send = functools.update_wrapper(functools.partial(_send, text), this_document)
    return (*routes, msgspec.structs.replace(own, handler=send))


async def this_document(call: Call) -> Response:
    """This document."""
    raise NotImplementedError


async def _send(text: bytes, call: Call) -> Response:
    del call
    return Response(text, content_type=JSON)


def document(routes: Sequence[Route], base_path: str) -> dict[str, Any]:
    """The document, ready to be encoded."""
    types = _types(routes)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Runwire",
            "version": version("runwire"),
            "description": "Runs jobs and streams them live.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": base_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types(routes: Sequence[Route]) -> list[type[Struct]]:
    wanted: dict[type[Struct], None] = {Problem: None}
    for route in routes:
        if route.body is not None:
            wanted[route.body] = None
        wanted.update((kind, None) for kind in route.lines)
        wanted.update((kind, None) for kind in route.answers.values() if kind is not None)
    return list(wanted)


def _operation(route: Route, schema_of: dict[type[Struct], dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _NOT_WORD.sub("_", route.method.lower() + route.path),
        "summary": (route.handler.__doc__ or "").partition("\n")[0],
        "responses": _responses(route, schema_of),
        # An alternative without a scheme: the Unix socket needs no token.
        "security": [{"token": [scope]} for scope in route.scopes] + [{}],
    }
    parameters = [*_path_parameters(route), *_query_parameters(route)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {JSON: {"schema": schema_of[route.body]}},
        }
    if route.raw_body:
        content = {BYTES: {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": False, "content": content}
    if route.scopes:
        operation["description"] = "Needs the scope " + " or ".join(
            f"`{scope}`" for scope in route.scopes
        )
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    (_,), components = msgspec.json.schema_components([route.query], ref_template=_REF)
    properties = components[route.query.__name__]["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "description": schema.pop("description", ""),
            "schema": schema,
        }
        for name, schema in properties.items()
    ]


def _responses(
    route: Route, schema_of: dict[type[Struct], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    responses: dict[str, dict[str, Any]] = {}
    for status, kind in sorted(route.answers.items()):
        responses[str(int(status))] = {"description": HTTPStatus(status).phrase}
        if kind is not None:
            responses[str(int(status))]["content"] = {JSON: {"schema": schema_of[kind]}}
    if route.lines:
        line = {"oneOf": [schema_of[kind] for kind in route.lines]}
        responses[str(int(HTTPStatus.OK))]["content"] = {LINES_TYPE: {"schema": line}}
    for status, codes in _problems(route).items():
        entry = responses.setdefault(str(int(status)), {"description": f"`{'`, `'.join(codes)}`"})
        entry.setdefault("content", {})[PROBLEM_TYPE] = {"schema": schema_of[Problem]}
    return dict(sorted(responses.items()))


def _problems(route: Route) -> dict[HTTPStatus, list[str]]:
    """Which codes come with which status."""
    kinds = (*(_GUARD if route.scopes else ()), *route.problems)
    found: dict[HTTPStatus, list[str]] = {}
    for kind in kinds:
        found.setdefault(status_of_kind(kind), []).append(kind.code)
    return found
