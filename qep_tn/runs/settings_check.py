"""What a run was made with, as short texts: a run that goes on must have been begun with the same settings.

Settings are those that decide numbers. They are compared by value, whatever holds them: 1 and 1.0, a list and an array,
and two operators or sites that are built alike, are equal.
"""

from __future__ import annotations

import copyreg
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache, cached_property
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from qep_tn.gradients.losses import Loss
from qep_tn.hamiltonians.hamiltonian import Hamiltonian, Theta
from qep_tn.hamiltonians.operators import Operator
from qep_tn.hamiltonians.sites import Site
from qep_tn.solvers.protocol import Solver, settings_of
from qep_tn.states.ground_state import GroundState
from qep_tn.states.saved import kind_of

_LONGEST = 100  # characters; of longer texts, such as that of 381 couplings, the hash is kept
_SPEED = ("threads",)  # settings of a solver that its results do not depend on

_Known = dict[int, tuple[Any, str]]  # id -> the object, kept so that no other gets its id, and its text


def fingerprint(settings: Mapping[str, Any]) -> dict[str, str]:
    """Each setting as a text, or the hash of one. Equal settings have equal fingerprints."""
    return {name: _short(_text(value, {})) for name, value in settings.items()}


def check_fingerprint(saved: Mapping[str, str], given: Mapping[str, str], where: str) -> None:
    """Raise ValueError, with the first setting that differs, unless both fingerprints are the same."""
    for name in {**given, **saved}:
        if saved.get(name) != given.get(name):
            raise ValueError(
                f"{where} was made with other settings: {name} was {saved.get(name, 'not there')}, and is "
                f"{given.get(name, 'not there')}; choose another folder with --out"
            )


def model_settings(H: Hamiltonian, theta: Theta) -> dict[str, Any]:
    """A Hamiltonian, and the parameters in theta.

    The order of the parameters counts: by it couplings are saved. That in theta does not.
    """
    return {
        "sites": H.sites,
        "parameters": list(H.parameters),
        "the fixed part of H": H.fixed,
        **{f"the operators of {name}": value for name, value in H.parameters.items()},
        "theta": {name: theta[name] for name in H.parameters if name in theta},
    }


def solver_settings(solver: Solver) -> dict[str, Any]:
    """A solver, but for what only makes it faster: a run may go on with another number of threads."""
    settings = settings_of(solver)
    rest = {f"the solver's {name}": value for name, value in settings.items() if name not in ("name", *_SPEED)}
    return {"solver": settings["name"], **rest}


def _text(value: Any, known: _Known) -> str:
    """A value such that equal ones have equal texts, in this process and in another.

    known: texts of the functions and objects that are described already, by id.
    """
    if isinstance(value, np.ndarray | np.generic):
        return _text(value.tolist(), known)
    if value is None or isinstance(value, bool | str | bytes):
        return repr(value)
    if isinstance(value, int | float | complex):
        return _number_text(value)
    if isinstance(value, CodeType):
        return _text([value.co_code, value.co_names, value.co_consts], known)
    if callable(value):  # also if it is a container
        return _object_text(value, known)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key_text(key, known)}: {_text(entry, known)}" for key, entry in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_text(entry, known) for entry in value) + "]"
    if isinstance(value, Set):
        return "{" + ", ".join(sorted(_text(entry, known) for entry in value)) + "}"
    if isinstance(value, Operator):
        return repr(Operator(dict(sorted(value.terms.items()))))
    if isinstance(value, Site):
        return _site_text(value)
    if isinstance(value, GroundState):
        return _state_text(value)
    if isinstance(value, ModuleType):
        return value.__name__
    return _object_text(value, known)


def _key_text(key: Any, known: _Known) -> str:
    return key if isinstance(key, str) else _text(key, known)


def _number_text(value: complex) -> str:
    if isinstance(value, complex):
        real, imaginary = _number_text(value.real), _number_text(value.imag)
        return real if imaginary == "0" else f"{real} + {imaginary}j"
    return repr(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)


@cache
def _site_text(site: Site) -> str:
    """By its matrices: what it is called decides nothing."""
    return _short(_text(dict(sorted(site.operators.items())), {}))


def _state_text(state: GroundState) -> str:
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in state.state.arrays().values())
    return f"{kind_of(state.state)} of energy {state.energy!r}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


def _object_text(value: Any, known: _Known) -> str:
    """A function, a class, a loss, or anything else by its type and what it holds, to the end of what can be reached.

    Described once, as objects may hold one another: until then, within itself, it is its name.
    """
    if id(value) not in known:
        name = _name(value)
        known[id(value)] = value, name
        parts = [_text(part, known) for part in _parts(value) if part is not None and part != ()]
        known[id(value)] = value, _short(f"{name}({', '.join(parts)})" if parts else name)
    return known[id(value)][1]


def _parts(value: Any) -> list[Any]:
    """What an object or a function computes with."""
    if isinstance(value, type):
        return [_class_body(kind) for kind in value.__mro__ if not _is_library(kind.__module__)]
    if isinstance(value, FunctionType):
        return _reached(value)
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, property):
        return [[value.fget, value.fset, value.fdel]]
    own = not _is_library(type(value).__module__)
    if not own and callable(wrapped := getattr(value, "__wrapped__", None)):  # such as a compiled function
        return [wrapped]
    observables = value.observables if isinstance(value, Loss) else None
    return [*_state(value, own), observables, type(value) if own else None]


def _reached(function: FunctionType) -> list[Any]:
    """What a function computes with: two lambdas have the same name.

    Its bytecode, which is that of one version of Python, its defaults, attributes, the values in its closure, and those
    of its module that it names. A library's function is its name, and what it was made with, such as what it decorates.
    """
    closure = [cell.cell_contents for cell in function.__closure__ or ()]
    held = [function.__defaults__, function.__kwdefaults__, closure or None, function.__dict__ or None]
    if _is_library(function.__globals__.get("__name__", "")):
        return held[2:]
    codes = list(_codes(function.__code__))
    names = sorted({name for code in codes for name in code.co_names} & function.__globals__.keys())
    return [[function.__code__, *held, {name: function.__globals__[name] for name in names}]]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code and that of the functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _class_body(kind: type) -> dict[str, Any]:
    """Methods of all sorts, and values, but what Python itself keeps there, such as the number of the first line."""
    return {
        name: value
        for name, value in sorted(vars(kind).items())
        if not (name.startswith("__") and name.endswith("__")) or callable(value) or hasattr(value, "__get__")
    }


def _state(value: Any, own: bool) -> list[Any]:
    """What an object would be pickled by, and all attributes of a user's own, which may pickle less.

    What cannot be pickled, such as a lock, has its attributes only.
    """
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # whatever a library's objects raise that are not made for it
        return [_attributes(object.__getstate__(value), type(value))]
    if isinstance(reduced, str):  # a global of its module, as is a built-in function
        return []
    make, arguments, state, *contents = (*reduced, None)[:5] if len(reduced) == 2 else reduced[:5]
    if own:
        state = object.__getstate__(value)
    made = [arguments[1:]] if make is copyreg.__newobj__ else [make, arguments]  # type: ignore[attr-defined]
    return [*made, _attributes(state, type(value)), *(list(part) for part in contents if part is not None)]


def _attributes(state: Any, kind: type) -> Any:
    """A state of attributes as one mapping, in any order of assignment, without what is computed from the others."""
    halves = state if isinstance(state, tuple) and len(state) == 2 else (state,)  # __dict__ and slots
    if not all(half is None or isinstance(half, dict) for half in halves):
        return state
    held = sorted((item for half in halves if half for item in half.items()), key=lambda item: str(item[0]))
    return {name: entry for name, entry in held if not isinstance(_of_class(kind, name), cached_property)} or None


def _of_class(kind: type, name: Any) -> Any:
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def _name(value: Any) -> str:
    """Of a function or class, else of the object's type. With a library's module: there are many functions sin."""
    named = value if hasattr(value, "__name__") and not isinstance(value, property) else type(value)
    name = str(getattr(named, "__qualname__", named.__name__))
    module = getattr(named, "__module__", None) or type(value).__module__
    return f"{module}.{name}" if _is_library(module) and _root(module) not in ("builtins", "qep_tn") else name


def _root(module: str) -> str:
    return module.partition(".")[0]


@cache
def _is_library(module: str) -> bool:
    """Whether it is installed: then what it computes is known by name, as is what Python and this package do."""
    root = _root(module)
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return root in ("qep_tn", *sys.stdlib_module_names) or bool(
        {"site-packages", "dist-packages"} & {*Path(file).parts}
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
