"""Reads one object of a configuration; what is wrong is named by its path."""

from __future__ import annotations

import math
from typing import Any

from .errors import TrainerError


def wrong(path: str, problem: str, fix: str) -> TrainerError:
    return TrainerError("CONFIG_INVALID", path or "the configuration", problem, fix)


class Section:
    def __init__(self, path: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise wrong(path, f"is {_kind(value)}", "give an object")
        self.path, self.value, self._read = path, value, set()

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _get(self, key: str) -> Any:
        self._read.add(key)
        return self.value.get(key)

    def section(self, key: str) -> "Section":
        value = self._get(key)
        return Section(self.at(key), {} if value is None else value)

    def text(self, key: str, default: str) -> str:
        return self.optional_text(key) or default

    def optional_text(self, key: str) -> str | None:
        value = self._get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise wrong(self.at(key), f"is {_kind(value)}", "give text")
        return value

    def texts(self, key: str, default: list[str] | None) -> list[str] | None:
        """One text may stand for a list of one."""
        value = self._get(key)
        values = default if value is None else [value] if isinstance(value, str) else value
        if values is not None and (not isinstance(values, list) or not all(isinstance(each, str) for each in values)):
            raise wrong(self.at(key), f"is {_kind(value)}", "give a list of texts")
        return values

    def objects(self, key: str) -> list[dict[str, Any]]:
        """A name may stand for an object of that type."""
        value = self._get(key) or []
        values = value if isinstance(value, list) else [value]
        values = [{"type": each} if isinstance(each, str) else each for each in values]
        if not all(isinstance(each, dict) for each in values):
            raise wrong(self.at(key), "does not hold objects", 'give a list such as [{"type": …}]')
        return values

    def choice(self, key: str, known: tuple[str, ...], default: str) -> str:
        value = self._get(key)
        if value is None:
            return default
        if value not in known:
            raise wrong(self.at(key), f"{value!r} is not known", f"use one of {', '.join(known)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.at(key), f"is {_kind(value)}", "give true or false")
        return default if value is None else value

    def whole(self, key: str, default: int, least: int = 1) -> int:
        value = self._get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise wrong(self.at(key), f"is {value!r}", f"give a whole number from {least}")
        return value

    def number(self, key: str, default: float, above: float = -math.inf, below: float = math.inf) -> float:
        value = self.optional_number(key, default, above, below)
        return default if value is None else value

    def optional_number(self, key: str, default: float | None, above: float = -math.inf, below: float = math.inf) -> float | None:
        """null says: none, also where there is a default."""
        if key not in self.value:
            self._read.add(key)
            return default
        value = self._get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not above < value < below:
            bounds = [f"above {above:.3g}" if above > -math.inf else "", f"below {below:.3g}" if below < math.inf else ""]
            raise wrong(self.at(key), f"is {value!r}", " ".join(["give a number", *filter(None, bounds)]))
        return float(value)

    def finish(self) -> None:
        for key in self.value:
            if key not in self._read:
                raise wrong(self.at(key), "is not a key that is known", f"use one of {', '.join(sorted(self._read))}, or remove it")


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: f"{value!r}", type(None): "null"}.get(type(value), repr(value))
