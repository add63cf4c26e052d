"""What a run was made with, as short texts: a run that goes on must have been begun with the same settings.

Settings are those that decide numbers. They are compared by value, whatever holds them: 1 and 1.0, a list and an array,
and two operators or sites that are built alike, are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from qep_tn.hamiltonian import Hamiltonian, Theta
from qep_tn.losses import Loss
from qep_tn.operators import Operator
from qep_tn.sites import Site
from qep_tn.solvers.protocol import GroundState, Solver, settings_of
from qep_tn.state_file import arrays_of

_LONGEST = 100  # characters; of longer texts, such as that of 381 couplings, the hash is kept
_SPEED = ("threads",)  # settings of a solver that its results do not depend on


def fingerprint(settings: Mapping[str, Any]) -> dict[str, str]:
    """Each setting as a text, or the hash of one. Equal settings have equal fingerprints."""
    return {name: _short(_text(value, set())) for name, value in settings.items()}


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


def _text(value: Any, seen: set[int]) -> str:
    """A value such that equal ones have equal texts, in this process and in another.

    seen: ids of the functions and objects that are described already; they may hold one another.
    """
    if isinstance(value, np.ndarray | np.generic):
        return _text(value.tolist(), seen)
    if value is None or isinstance(value, bool | str | bytes):
        return repr(value)
    if isinstance(value, int | float | complex):
        return _number_text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(entry, seen)}" for key, entry in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_text(entry, seen) for entry in value) + "]"
    if isinstance(value, Set):
        return "{" + ", ".join(sorted(_text(entry, seen) for entry in value)) + "}"
    if isinstance(value, Operator):
        return repr(Operator(dict(sorted(value.terms.items()))))
    if isinstance(value, Site):
        return _site_text(value)
    if isinstance(value, GroundState):
        return _state_text(value)
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, CodeType):
        return _text([value.co_code, value.co_names, value.co_consts], seen)
    return _object_text(value, seen)


def _number_text(value: complex) -> str:
    if isinstance(value, complex):
        real, imaginary = _number_text(value.real), _number_text(value.imag)
        return real if imaginary == "0" else f"{real} + {imaginary}j"
    return repr(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)


@cache
def _site_text(site: Site) -> str:
    """By its matrices: what it is called decides nothing."""
    return _short(_text(dict(sorted(site.operators.items())), set()))


def _state_text(state: GroundState) -> str:
    kind, arrays = arrays_of(state.state)
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    return f"{kind} of energy {state.energy!r}, sha256 {hashlib.sha256(data).hexdigest()[:16]}"


def _object_text(value: Any, seen: set[int]) -> str:
    """A function, a loss, or anything else by its type and what it holds, to the end of what can be reached."""
    name = _name(value)
    if id(value) in seen or isinstance(value, type):
        return name
    seen.add(id(value))
    if isinstance(value, FunctionType):
        return f"{name}({_text(_reached(value), seen)})"
    if isinstance(value, MethodType):
        return _text([value.__func__, value.__self__], seen)
    if isinstance(value, partial):
        return _text([value.func, value.args, value.keywords], seen)
    if isinstance(wrapped := getattr(value, "__wrapped__", None), FunctionType):  # such as a compiled function
        return _text(wrapped, seen)
    held = getattr(value, "__dict__", None)
    if held is None:
        return name if callable(value) else repr(value)
    parts = [held, value.observables if isinstance(value, Loss) else None, _methods(type(value))]
    return f"{name}({', '.join(_text(part, seen) for part in parts if part)})"


def _reached(function: FunctionType) -> list[Any]:
    """What a function computes with: two lambdas have the same name.

    Its bytecode, which is that of one version of Python, its defaults, the values in its closure, and those of its
    module that it names; of other modules' functions the names.
    """
    codes = list(_codes(function.__code__))
    names = sorted({name for code in codes for name in code.co_names} & function.__globals__.keys())
    of_module = {name: _of_module(function.__globals__[name], function.__module__) for name in names}
    closure = [cell.cell_contents for cell in function.__closure__ or ()]
    return [function.__code__, function.__defaults__, function.__kwdefaults__, closure, of_module]


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code and that of the functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _of_module(value: Any, module: str) -> Any:
    foreign = callable(value) and getattr(value, "__module__", module) != module
    return f"{value.__module__}.{_name(value)}" if foreign else value


def _name(value: Any) -> str:
    """Of a function or class, else of the object's type. NumPy's functions may have the short one only."""
    return str(getattr(value, "__qualname__", getattr(value, "__name__", type(value).__qualname__)))


def _methods(kind: type) -> dict[str, Any]:
    """Of a user's own loss, or object that can be called: they are what it computes."""
    own = not kind.__module__.startswith("qep_tn.") and (issubclass(kind, Loss) or "__call__" in vars(kind))
    return {name: value for name, value in vars(kind).items() if isinstance(value, FunctionType)} if own else {}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
