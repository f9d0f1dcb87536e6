"""The files that pages load: style, scripts, icon. Each address names the content, so that it can be kept for ever."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

_MEDIA: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent."""

    name: str
    media_type: str
    content: bytes
    version: str
    """Changes with the content."""

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/static/{self.name}"

    @property
    def href(self) -> str:
        """Its address in pages."""
        return f"{self.path}?v={self.version}"


@cache
def static_files() -> dict[str, StaticFile]:
    """Return every file by its name."""
    folder = files("spanledger_dashboards.page") / "static"
    found = (item for item in folder.iterdir() if item.name.rpartition(".")[2] in _MEDIA)
    return {item.name: _read(item) for item in found}


def _read(item: Traversable) -> StaticFile:
    content = item.read_bytes()
    return StaticFile(item.name, _MEDIA[item.name.rpartition(".")[2]], content, sha256(content).hexdigest()[:12])
