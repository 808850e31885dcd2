"""The typed parameters of a job: checking what was given and turning it into text. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from supervisor.errors import BadValue
from supervisor.jobs.checks import text_problem
from supervisor.spec import Job, Param, ParamKind, ParamValue
from supervisor.suggest import did_you_mean

PARAM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_INT64 = range(-(2**63), 2**63)
_INT_TEXT = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_FLOAT_TEXT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


def bind_params(job: Job, given: Mapping[str, ParamValue]) -> dict[str, ParamValue]:
    """A value for every parameter of `job`: the given one, else its default.

    Numbers and booleans may be given as text too, since a command line has nothing else.

    Raises BadValue, naming the field as `params.NAME`, for a value that does not fit, a parameter
    that the job does not have, and one without a default that was not given.
    """
    for name in given:
        if name not in job.params:
            raise BadValue(_unknown(job, name), field=f"params.{name}")
    return {name: _bind(name, param, given.get(name)) for name, param in job.params.items()}


def _unknown(job: Job, name: str) -> str:
    if not job.params:
        return f"job {job.name} has no parameters"
    guess = did_you_mean(name, job.params) or f"; it has {', '.join(job.params)}"
    return f'job {job.name} has no parameter "{name}"{guess}'


def _bind(name: str, param: Param, value: ParamValue | None) -> ParamValue:
    if value is None:
        if param.default is None:
            raise BadValue(f"must be given ({describe(param)})", field=f"params.{name}")
        return param.default
    try:
        return check_value(param, _from_text(param, value) if isinstance(value, str) else value)
    except BadValue as error:
        raise BadValue(error.message, field=f"params.{name}") from None


def check_value(param: Param, value: object) -> ParamValue:
    """`value` if `param` can have it; a whole number for a float parameter becomes a float.

    Raises BadValue saying what the parameter takes.
    """
    match param.type:
        case ParamKind.BOOL if isinstance(value, bool):
            return value
        case ParamKind.INT if isinstance(value, int) and not isinstance(value, bool):
            return _bounded(param, value)
        case ParamKind.FLOAT if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _bounded(param, value)
        case ParamKind.CHOICE if isinstance(value, str):
            return _chosen(param, value)
        case ParamKind.STRING if isinstance(value, str):
            return _matching(param, value)
        case _:
            raise BadValue(f"must be {describe(param)}, not {shown(value)}")


def _bounded(param: Param, value: float) -> ParamValue:
    below = param.min is not None and value < param.min
    above = param.max is not None and value > param.max
    too_big = isinstance(value, int) and value not in _INT64
    if below or above or too_big or not math.isfinite(value):
        raise BadValue(f"must be {describe(param)}, not {shown(value)}")
    return float(value) if param.type is ParamKind.FLOAT else value


def _chosen(param: Param, value: str) -> str:
    if value not in param.choices:
        guess = did_you_mean(value, param.choices)
        raise BadValue(f"must be {describe(param)}, not {shown(value)}{guess}")
    return value


def _matching(param: Param, value: str) -> str:
    problem = text_problem(value)
    if problem is not None:
        raise BadValue(problem)
    if param.pattern is not None and re.fullmatch(param.pattern, value) is None:
        raise BadValue(f"must be {describe(param)}, not {shown(value)}")
    return value


def _from_text(param: Param, text: str) -> object:
    """What `text` says if it is written as the parameter's type is, else `text` itself."""
    match param.type:
        case ParamKind.BOOL:
            return {"true": True, "false": False}.get(text, text)
        case ParamKind.INT if _INT_TEXT.fullmatch(text):
            return int(text)
        case ParamKind.FLOAT if _FLOAT_TEXT.fullmatch(text):
            return int(text) if _INT_TEXT.fullmatch(text) else float(text)
        case _:
            return text


def to_text(value: ParamValue) -> str:
    """A value as it stands in an argument: `true`, `8`, `0.5`, or the string itself."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def variable(name: str) -> str:
    """The environment variable that carries parameter `name` into a run."""
    return f"RUNWIRE_PARAM_{name.upper()}"


def describe(param: Param) -> str:
    """What a parameter takes, for people: `a whole number from 1 to 8`."""
    match param.type:
        case ParamKind.BOOL:
            return "true or false"
        case ParamKind.CHOICE:
            return f"one of {', '.join(param.choices)}"
        case ParamKind.STRING:
            return f"a string matching {param.pattern}" if param.pattern else "a string"
        case _:
            noun = "a whole number" if param.type is ParamKind.INT else "a number"
            return noun + _bounds(param)


def _bounds(param: Param) -> str:
    if param.min is not None and param.max is not None:
        return f" from {param.min} to {param.max}"
    if param.min is not None:
        return f" of at least {param.min}"
    return f" of at most {param.max}" if param.max is not None else ""


def shown(value: object) -> str:
    """A value as TOML or JSON writes it, cut to a length that fits into a message."""
    if isinstance(value, int) and not -(10**30) < value < 10**30:
        return "a number of more than 30 digits"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
