"""The section [model]: a function that gives a Hamiltonian, and what it is called with.

Its keys are what the function's signature names, so that a ladder may have `rungs` and an array its own geometry.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from qep_tn.configuration.section import Section, first_line, hint, shown
from qep_tn.models import MODELS

Plain = bool | int | float | str
Value = Plain | list[Plain] | list[list[Plain]]

WRONG_KEY = "model_key"  # the type of an error about a key; its context has the key and the problem

_ALLOWED: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Value: "a number, a string, true, false, a list of those or a list of such lists",
}
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_GIVEN_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Key(NamedTuple):
    """A parameter that chains have. annotation: of a function that means it so. kind: what pydantic checks it by."""

    annotation: type
    kind: Any
    description: str


class ModelSection(Section):
    """Which Hamiltonian, and the keywords of its function; those that are not given have the function's defaults.

    Raises PydanticCustomError of type WRONG_KEY for a keyword that the function does not have, lacks, or has of another
    type. A function that cannot be found is left to `model_function`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value] = Field(init=False)

    name: str = Field(description=f'a model ({", ".join(MODELS)}) or "package.module:function"')

    CHAIN: ClassVar[Mapping[str, Key]] = {
        "L": Key(int, Annotated[int, Field(ge=1, le=10_000)], "a number of sites, 1 to 10000"),
        "local": Key(bool, bool, "true (one coupling a term) or false (uniform)"),
        "periodic": Key(bool, bool, "true (a ring) or false (an open chain)"),
    }
    LENGTH: ClassVar[int] = 10  # where the function has no default of its own

    @model_validator(mode="before")
    @classmethod
    def _called(cls, table: Any) -> Any:
        if not isinstance(table, dict) or not isinstance(name := table.get("name"), str):
            return table
        try:
            signature = inspect.signature(model_function(name))
        except ValueError:
            return table
        return {"name": name, **_keywords(table, signature, _hints(name))}

    @property
    def keywords(self) -> dict[str, Any]:
        """What the function is called with."""
        return dict(self.model_extra or {})

    @property
    def length(self) -> int | None:
        """The keyword L, a number of sites or what else the function counts by it; None if it has none."""
        length = self.keywords.get("L")
        return length if isinstance(length, int) and not isinstance(length, bool) else None


def missing_model() -> PydanticCustomError:
    """What is wrong with a configuration without [model]."""
    return _wrong("name", f"missing; give {ModelSection.model_fields['name'].description}")


def model_function(name: str) -> Callable[..., Any]:
    """The function of a model, one of `MODELS` or of any package. Raises ValueError if there is none."""
    if name in MODELS:
        return MODELS[name]
    if ":" not in name:
        raise ValueError(
            f"[model] name: {hint(f'{name!r} is an unknown model', name, MODELS)}, or 'package.module:function'"
        )
    return imported(name, "[model] name", "function that returns a Hamiltonian")


def imported(name: str, place: str, wanted: str = "function") -> Callable[..., Any]:
    """The function that 'package.module:function' names. place: for messages. Raises ValueError if there is none."""
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"{place}: {name!r} names no function; write 'package.module:function'")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        problem = f"{type(error).__name__}: {first_line(error)}"
        raise ValueError(f"{place}: {name!r} cannot be imported, {problem}; is its folder on PYTHONPATH?") from error
    if not callable(function):
        raise ValueError(f"{place}: {name!r} is a {type(function).__name__}; it must be a {wanted}")
    return function


def _hints(name: str) -> Mapping[str, Any]:
    """A function's annotations by parameter; none where they name what cannot be found."""
    try:
        return get_type_hints(model_function(name))
    except Exception:  # an annotation may be any expression
        return {}


def _keywords(table: Mapping[str, Any], signature: inspect.Signature, hints: Mapping[str, Any]) -> dict[str, Any]:
    """What a table gives a function, checked, with the function's defaults as far as a file can hold them."""
    every = signature.parameters.values()
    if by_place := next((p.name for p in every if p.kind is p.POSITIONAL_ONLY and p.default is p.empty), None):
        raise _wrong(
            "name", f"{table['name']!r} takes {by_place} by its place alone; let it have it by name, without the /"
        )
    parameters = {p.name: p for p in every if p.kind in _GIVEN_BY_NAME and p.name != "name"}
    given = {key: value for key, value in table.items() if key != "name"}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in every)
    if not takes_any and (unknown := next((key for key in given if key not in parameters), None)):
        raise _wrong(unknown, hint("unknown key", unknown, ["name", *parameters]))
    keywords: dict[str, Any] = {}
    for key in {**parameters, **given}:
        kind, wanted = _kind(key, hints.get(key))
        default = parameters[key].default if key in parameters else None
        if key in given:
            if not _fits(given[key], kind):
                raise _wrong(key, f"must be {wanted}, not {shown(given[key])}")
            keywords[key] = given[key]
        elif default is not inspect.Parameter.empty:
            if _fits(default, kind):
                keywords[key] = default
        elif key == "L":
            keywords[key] = ModelSection.LENGTH
        else:
            raise _wrong(key, f"missing; give {wanted}")
    return keywords


def _kind(key: str, annotation: Any) -> tuple[Any, str]:
    """What a parameter takes, as a type and in words; anything that a file can hold if its annotation does not say."""
    chain = ModelSection.CHAIN.get(key)
    if chain is not None and annotation in (None, chain.annotation):
        return chain.kind, chain.description
    if get_origin(annotation) is Literal and all(isinstance(choice, Plain) for choice in get_args(annotation)):
        return annotation, f"one of {', '.join(map(repr, get_args(annotation)))}"
    kind = annotation if annotation in (bool, int, float, str) else Value
    return kind, _ALLOWED[kind]


def _fits(value: Any, kind: Any) -> bool:
    try:
        TypeAdapter(kind, config=_STRICT).validate_python(value)
    except ValidationError:
        return False
    return True


def _wrong(key: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError(WRONG_KEY, "{key}: {problem}", {"key": key, "problem": problem})
