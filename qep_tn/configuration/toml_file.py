"""The TOML file of a run: reading it, with overrides from the command line, and writing what it came to."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from qep_tn.configuration.keys import Config
from qep_tn.configuration.model import WRONG_KEY, ModelSection
from qep_tn.configuration.section import Section, first_line, hint, shown

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def load(path: str | Path, overrides: Sequence[str] = (), solver: str | None = None) -> Config:
    """Read a TOML file. `overrides` are of the form "explore.steps=5"; `solver` overrides solver.name.

    Raises ValueError with one line: the file, the section, the key, and what is allowed.
    """
    table = _read(Path(path))
    origins: dict[tuple[str, ...], str] = {}
    for override in overrides:
        keys, value = _split(override)
        _set(table, keys, value)
        origins[keys] = "--set"
    if solver is not None:
        _set(table, ("solver", "name"), solver.replace("-", "_"))
        origins["solver", "name"] = "--solver"
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        keys, problem = _explain(error)
        raise ValueError(f"{origins.get(keys[:2], path)}: {problem}") from None


def to_toml(config: Config, versions: Mapping[str, str]) -> str:
    """The configuration as TOML, defaults written out, with the versions that it ran with."""
    tables = config.model_copy(update={"versions": dict(versions)}).model_dump(exclude_none=True)
    lines: list[str] = []
    for section, entries in tables.items():
        lines += [
            f"[{section}]",
            *(f"{_key(key)} = {_toml(value)}" for key, value in entries.items()),
            "",
        ]
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not a text file in UTF-8; give a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: is not valid TOML: {first_line(error)}") from None
    except RecursionError:
        raise ValueError(f"{path}: is nested too deeply") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}; give a TOML file") from None


def _split(override: str) -> tuple[tuple[str, ...], Any]:
    """A --set option as keys and value. The value is read as TOML, or else is a string as it stands."""
    name, equals, text = override.partition("=")
    keys = tuple(part.strip() for part in name.split("."))
    if not equals or not all(keys):
        raise ValueError(f"--set {override}: write section.key=value, such as explore.steps=5")
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return keys, text
    return keys, table["value"] if len(table) == 1 else text


def _set(table: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    *sections, key = keys
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ValueError(f"--set {'.'.join(keys)}: {section} has no keys; write section.key=value")
    table[key] = value


def _explain(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """Keys of the first mistake, and one line that says what is allowed there."""
    details = error.errors()
    if details[0]["type"] == WRONG_KEY:
        key, problem = (str(details[0]["ctx"][part]) for part in ("key", "problem"))
        return ("model", key), f"[model] {key}: {problem}"
    keys = tuple(str(part) for part in details[0]["loc"][:2])
    # where several types are allowed, the deepest complaint is about the type that was meant
    detail = max((d for d in details if d["loc"][:2] == details[0]["loc"][:2]), key=lambda d: len(d["loc"]))
    if detail["type"] == "extra_forbidden":
        return keys, _unknown(keys)
    if len(keys) == 1 and detail["type"] != "missing":
        return keys, f"[{keys[0]}] must be a section with keys, not {shown(detail['input'])}"
    section, key = keys if len(keys) == 2 else (keys[0], "name")
    wanted = _description(section, key)
    if detail["type"] == "missing":
        return keys, f"[{section}] {key}: missing; give {wanted}"
    return keys, f"[{section}] {key}: must be {wanted}, not {shown(detail['input'])}"


def _description(section: str, key: str) -> str:
    fields = _fields(section)
    if key in fields:
        return str(fields[key].description)
    return {"parameters": Config.PARAMETER, "versions": "a string"}.get(
        section, "a number, a string, true, false or a list of those"
    )


def _unknown(keys: tuple[str, ...]) -> str:
    if len(keys) == 2:
        return f"[{keys[0]}] {keys[1]}: {hint('unknown key', keys[1], _fields(keys[0]))}"
    owners = [f"{section}.{keys[0]}" for section in Config.model_fields if keys[0] in _fields(section)]
    if owners:
        return f"{keys[0]}: unknown section; did you mean {' or '.join(owners)}?"
    return f"{keys[0]}: {hint('unknown section', keys[0], Config.model_fields)}"


def _fields(section: str) -> Mapping[str, Any]:
    """The keys of a section, those of a chain for [model]; empty for sections of free keys."""
    annotation: Any = Config.model_fields[section].annotation
    annotation = next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)
    if annotation is ModelSection:
        return {**ModelSection.model_fields, **ModelSection.CHAIN}
    return annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, Section) else {}


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml(name)


def _toml(value: Any) -> str:
    """A value as TOML, a table inline. JSON's strings are TOML's, apart from the control character 0x7f."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_toml(entry)}' for key, entry in value.items())} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
