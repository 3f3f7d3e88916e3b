"""What a payload that is being read may not do: import, open, run, connect; each attempt is noted."""

from __future__ import annotations

import os
import sys
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Every other audit event (https://docs.python.org/3/library/audit_events.html) counts as an attempt.
HARMLESS = frozenset(
    {
        "array.__new__",
        "builtins.id",
        "gc.get_objects",
        "gc.get_referents",
        "gc.get_referrers",
        "object.__delattr__",
        "object.__getattr__",
        "object.__setattr__",
        "socket.gethostname",  # to tell a store on another host
        "sys._getframe",
        "sys.unraisablehook",
        "time.sleep",
    }
)
TIME_ZONES = ("tzdata", "pytz", "dateutil", "pendulum")  # libraries that read a zone when it is first named
_HEADER = b"{'descr': "  # of NumPy's files, which ast.literal_eval() reads
TEMPLATES = Path("package_data", "templates")  # of plotly, read when one is first named


class Guard:
    """Watches this process through an audit hook, which nothing can take away again.

    Args:
        folders: where files may be read and deleted, beside the time zone databases, which may be read.
    """

    def __init__(self, *folders: Path) -> None:
        self.attempts: list[str] = []
        self._active = False
        self._stores = tuple(os.path.realpath(folder) for folder in folders)
        places = [*zoneinfo.TZPATH, *(_home(name) for name in TIME_ZONES)]
        places += [str(Path(home) / TEMPLATES)] if (home := _home("plotly")) else []
        self._zones = tuple(os.path.realpath(place) for place in places if place)
        sys.addaudithook(self._hook)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note attempts."""
        self._active = True
        try:
            yield
        finally:
            self._active = False

    def take(self) -> list[str]:
        """The attempts since the last call."""
        found, self.attempts = self.attempts, []
        return found

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._active or event in HARMLESS:
            return
        self._active = False  # what is asked below raises events of its own
        try:
            if not self._is_allowed(event, args):
                self.attempts.append(f"{event} {args!r:.200}")
        finally:
            self._active = True

    def _is_allowed(self, event: str, args: tuple[Any, ...]) -> bool:  # noqa: PLR0911 - one for each event
        if event == "import":  # zones are data in packages of tzdata
            return str(args[0]).startswith("tzdata.zoneinfo.")
        if event in ("sqlite3.connect", "sqlite3.connect/handle"):  # a row of SQLite is of a cursor
            return args[0] == ":memory:" or event != "sqlite3.connect"
        if event == "compile" and args[1] == "<unknown>":  # the header of an array, which was just written
            return isinstance(args[0], bytes) and args[0].startswith(_HEADER)
        if event in ("compile", "code.__new__"):  # the frames of compiled code in a traceback
            return any(str(part).endswith(".pyx") for part in args[1:3])
        if event == "os.listdir":
            return _is_below(os.path.realpath(args[0]) + os.sep, self._zones)
        if event in ("open", "os.remove"):
            path = args[0]
            if not isinstance(path, str | bytes | os.PathLike):
                return isinstance(path, int)  # a descriptor that is open already
            if _is_step(event, args):
                return True
            place = os.path.realpath(os.fsdecode(path))
            reads = event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            return place in self._stores or _is_below(place, self._stores) or (reads and _is_below(place, self._zones))
        return event == "mmap.__new__"  # of what is open


def _is_step(event: str, args: tuple[Any, ...]) -> bool:
    """Whether it goes from a folder that is open, by descriptor, to what is in it, and through no link."""
    is_name = os.sep not in args[0] and args[0] not in {".", ".."}
    return is_name and (args[1] != -1 if event == "os.remove" else bool(args[2] & os.O_NOFOLLOW))


def _home(name: str) -> str | None:
    spec = find_spec(name)
    return spec and spec.origin and str(Path(spec.origin).parent)


def _is_below(place: str, folders: tuple[str, ...]) -> bool:
    return any(place.startswith(f"{folder}{os.sep}") for folder in folders)
