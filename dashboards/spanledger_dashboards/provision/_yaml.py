"""YAML of plain data: block style, texts in double quotes, which mean the same in JSON and YAML."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def dump(data: Any) -> str:
    """Return data made of dictionaries, lists, texts, numbers and truth values as YAML."""
    return "\n".join(_lines(data, "")) + "\n"


def _lines(data: Any, indent: str) -> Iterator[str]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _entry(f"{indent}{_key(key)}:", value, indent + "  ")
    elif isinstance(data, list) and data:
        for value in data:
            inner = list(_lines(value, indent + "  "))
            yield f"{indent}- {inner[0].lstrip()}"
            yield from inner[1:]
    else:
        yield indent + json.dumps(data, ensure_ascii=False)


def _entry(start: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield start
        yield from _lines(value, indent)
    else:
        yield f"{start} {json.dumps(value, ensure_ascii=False)}"


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _WORDS else json.dumps(key, ensure_ascii=False)


_WORDS: Final = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
