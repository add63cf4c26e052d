"""What a run was made with, as a short text: a run that goes on must have been begun with the same settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qep_tn.losses import Loss, Scaled

_LONGEST = 100  # characters; of longer texts, such as that of 381 couplings, the hash is kept


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Settings by name as JSON, each as a text or the hash of one. Equal settings have equal fingerprints."""
    return json.dumps({name: _short(_text(value)) for name, value in settings.items()}, sort_keys=True)


def check_fingerprint(saved: str, settings: Mapping[str, Any], where: str) -> None:
    """Raise ValueError, with the first setting that differs, unless `saved` is the fingerprint of these settings."""
    old, new = json.loads(saved), json.loads(fingerprint(settings))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            raise ValueError(
                f"{where} was made with other settings: {name} was {old.get(name, 'not there')}, and is "
                f"{new.get(name, 'not there')}; choose another folder with --out"
            )


def _text(value: Any) -> str:
    if isinstance(value, Loss):
        return _loss_text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, np.ndarray | np.generic):
        return repr(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_text, value)) + "]"
    return repr(value)


def _loss_text(loss: Loss) -> str:
    """A loss by its type, its operators and what else it holds; a function by its name."""
    if isinstance(loss, Scaled):
        return f"{loss.factor!r} * {_loss_text(loss.loss)}"
    held = {name: getattr(entry, "__qualname__", entry) for name, entry in getattr(loss, "__dict__", {}).items()}
    return f"{type(loss).__qualname__}({_text(held)}, {_text(loss.observables)})"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"
