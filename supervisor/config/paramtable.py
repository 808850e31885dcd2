"""The tables `params.NAME` of a job: from TOML to `Param`. Pure."""

from __future__ import annotations

import math
import re
import warnings

from msgspec import structs

from supervisor.config.tomltable import Table
from supervisor.errors import BadValue
from supervisor.jobs.params import PARAM_NAME, check_value, shown, variable
from supervisor.spec import Param, ParamKind
from supervisor.suggest import did_you_mean

_KINDS = tuple(kind.value for kind in ParamKind)
_TAKERS = {
    "min": (ParamKind.INT, ParamKind.FLOAT),
    "max": (ParamKind.INT, ParamKind.FLOAT),
    "pattern": (ParamKind.STRING,),
    "choices": (ParamKind.CHOICE,),
}


def read_params(table: Table) -> dict[str, Param]:
    """Every parameter of a job, in file order."""
    params: dict[str, Param] = {}
    variables: dict[str, str] = {}
    for name in table.names():
        if not PARAM_NAME.fullmatch(name):
            table.wrong("a parameter's name is made of letters, digits and _, no digit first", name)
        twin = variables.setdefault(variable(name), name)
        if twin != name:
            table.wrong(
                f"{twin} and {name} would both be {variable(name)} in the environment", name
            )
        value = table.value(name)
        if isinstance(value, dict):
            params[name] = _read_param(table.table(name))
        else:
            example = f'{name} = {{ type = "int" }}'
            table.wrong(f"must be a table, such as {example}, not {shown(value)}", name)
    return params


def _read_param(table: Table) -> Param:
    param = Param(
        type=_read_kind(table),
        description=table.string("description", ""),
        min=table.parsed("min", _number, None),
        max=table.parsed("max", _number, None),
        pattern=table.parsed("pattern", _pattern, None),
        choices=table.strings("choices") or (),
    )
    default = table.value("default")
    table.close()
    _check_param(table, param)
    if default is None:
        return param
    return _with_default(table, param, default)


def _read_kind(table: Table) -> ParamKind:
    text = table.string("type", ParamKind.STRING.value)
    if text not in _KINDS:
        guess = did_you_mean(text, _KINDS)
        table.wrong(f'there is no type "{text}", only {", ".join(_KINDS)}{guess}', "type")
        return ParamKind.STRING
    return ParamKind(text)


def _check_param(table: Table, param: Param) -> None:
    for key, kinds in _TAKERS.items():
        if key in table and param.type not in kinds:
            wanted = " or ".join(f'"{kind}"' for kind in kinds)
            table.wrong(f'is only for type = {wanted}, this is "{param.type}"', key)
    if param.type is ParamKind.CHOICE and not param.choices:
        table.wrong('needs choices, such as choices = ["small", "large"]')
    if param.min is not None and param.max is not None and param.min > param.max:
        table.wrong(f"min {param.min} is above max {param.max}", "min")


def _with_default(table: Table, param: Param, default: object) -> Param:
    try:
        value = check_value(param, default)
    except BadValue as error:
        table.wrong(error.message, "default")
        return param
    return structs.replace(param, default=value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadValue(f"must be a number, not {shown(value)}")
    return value


def _pattern(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue(f"must be a regular expression in a string, not {shown(value)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(value)
    except (re.error, FutureWarning, OverflowError, RecursionError) as error:
        raise BadValue(f"is not a regular expression: {error}") from None
    return value
