"""Type to codec, tag to codec.

Looking up a type goes exact type, lazy name, base class, predicate, with one cache in front that every registration
clears.  Built-in codecs are found through the root package of the type or tag, so that nothing is imported before
one of its objects appears.
"""

from __future__ import annotations

import importlib
import re
import sys
import threading
from importlib import metadata
from typing import TYPE_CHECKING

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.discovery import ENTRY_POINT_GROUP, HOMES, STDLIB, Origin, distribution_of_point, supplier_of
from airflow_xcom.codecs.errors import (
    CorruptPayloadError,
    MissingLibraryError,
    NewerFormatError,
    RegistrationError,
    UnknownTagError,
    UnsupportedTypeError,
    UnusableLibraryError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Registry", "registry"]

_TAG = r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)+"


class Registry:
    """A set of codecs.  Thread-safe; the process-wide one is :data:`registry`."""

    def __init__(self, *, builtins: bool = True, entry_points: bool = True) -> None:
        self._lock = threading.RLock()  # never held while a module is imported, which may register and wait for it
        self._loading = threading.RLock()
        self._is_loading = False
        self._by_tag: dict[str, Codec] = {}
        self._by_type: dict[type, Codec] = {}
        self._by_name: dict[str, Codec] = {}
        self._origins: dict[str, Origin] = {}
        self._modules: dict[str, tuple[str, str | None]] = {}  # tag -> the module that registered its codec, its file
        self._distributions: dict[str, str] = {}  # tag -> the distribution whose entry point registered its codec
        self._cache: dict[type, Codec | None] = {}
        self._loaded: set[str] = set()
        self._builtins = builtins
        self._entry_points_due = entry_points
        self._failures: dict[str, str] = {}
        self._fallback: Codec | None = None
        self._allows: Callable[[str], bool] = _allow_nothing

    # -- registering -----------------------------------------------------------------------------------

    def register(self, codec: Codec, *, replace: bool = False) -> Codec:
        """Add ``codec``.

        Raises:
            RegistrationError: the tag is malformed or reserved, or the tag or one of the types is taken and
                ``replace`` is false.
        """
        return self._register(codec, replace=replace, origin=None)

    def _register(self, codec: Codec, *, replace: bool, origin: Origin | None) -> Codec:
        self._check(codec, replace=replace)
        with self._lock:
            earlier = self._by_tag.get(codec.tag)
            before = self._origins.get(codec.tag)
            again = origin is not None and before is not None and origin.reexecutes(before)
            if earlier is not None and not replace and not again:
                msg = f"the tag {codec.tag!r} is registered already; pass replace=True to replace it"
                raise RegistrationError(msg)
            for kind in codec.types:
                holder = self._by_name.get(kind) if isinstance(kind, str) else self._by_type.get(kind)
                if holder is not None and holder.tag != codec.tag and not replace:
                    msg = f"{kind!r} is handled by the codec {holder.tag!r} already; pass replace=True to replace it"
                    raise RegistrationError(msg)
            if earlier is not None and not again:
                self._forget(earlier)
            self._add(codec)
            self._modules[codec.tag] = _module_of(codec) if origin is None else (origin.module, origin.file)
            if again and earlier is not None and before is not None and before.is_main:
                self._by_tag[codec.tag] = earlier  # the program that runs is the one whose classes are wanted back
            elif origin is not None:
                self._origins[codec.tag] = origin
        return codec

    def _check(self, codec: Codec, *, replace: bool) -> None:
        if not isinstance(codec, Codec):
            msg = f"{codec!r} is not a Codec"
            raise RegistrationError(msg)
        if not re.fullmatch(_TAG, codec.tag):
            msg = (
                f"{codec.tag!r} is not a tag for a codec of your own: give it a namespace, such as 'acme.point' "
                "(letters, digits, '_' and '-', with at least one dot)"
            )
            raise RegistrationError(msg)
        root = codec.tag.partition(".")[0]
        if self._builtins and root in HOMES and not replace:
            msg = f"tags that begin with {root!r} are reserved for the built-in codecs"
            raise RegistrationError(msg)
        if not isinstance(codec.version, int) or codec.version < 1:
            msg = f"the version of {codec.tag!r} is {codec.version!r}; it must be a whole number from 1"
            raise RegistrationError(msg)
        if self._builtins:
            for kind in codec.types:
                if isinstance(kind, type):
                    self._load_homes(kind.__module__)

    def _add(self, codec: Codec) -> None:
        self._by_tag[codec.tag] = codec
        for kind in codec.types:
            if isinstance(kind, str):
                self._by_name[kind] = codec
            else:
                self._by_type[kind] = codec
        self._cache.clear()

    def _forget(self, codec: Codec) -> None:
        for kind in codec.types:
            if isinstance(kind, str):
                self._by_name.pop(kind, None)
            else:
                self._by_type.pop(kind, None)
        self._by_tag.pop(codec.tag, None)
        self._modules.pop(codec.tag, None)
        self._distributions.pop(codec.tag, None)
        self._origins.pop(codec.tag, None)

    def set_fallback(self, codec: Codec) -> None:
        """Use ``codec`` for types that its ``matches`` accepts and no other codec handles; it replaces the last one."""
        with self._lock:
            if self._fallback is not None:
                self._forget(self._fallback)
            self._fallback = codec
            self._add(codec)

    def allow_classes(self, predicate: Callable[[str], bool]) -> None:
        """Let the classes whose name (``"package.module.Class"``) ``predicate`` accepts be restored by their names.

        It replaces the last one; until it is called, no class is.
        """
        self._allows = predicate

    def allows_class(self, name: str) -> bool:
        """Whether a class may be restored by its name."""
        return self._allows(name)

    def import_modules(self, names: Iterable[str]) -> None:
        """Import modules that register codecs: the ``[xcom_codecs] modules`` option.

        Raises:
            RegistrationError: a module cannot be imported.
        """
        for name in names:
            try:
                importlib.import_module(name)
            except Exception as error:
                msg = f"cannot import {name!r}, which [xcom_codecs] modules names: {error}"
                raise RegistrationError(msg) from error

    def supplier(self, tag: str) -> str | None:
        """Who registered the codec of a tag: ``"distribution version"``, or a file; None for a built-in one."""
        if tag in self._distributions:
            return self._distributions[tag]
        return supplier_of(*self._modules[tag]) if tag in self._modules else None

    # -- looking up ------------------------------------------------------------------------------------

    def for_type(self, kind: type) -> Codec | None:
        """The codec for objects whose class is exactly ``kind``, or None.

        Raises:
            UnsupportedTypeError: its codec needs a library that cannot be imported.
        """
        try:
            return self._cache[kind]
        except KeyError:
            pass
        if self._builtins:
            self._load_homes_of(kind)
        self._load_entry_points()
        with self._lock:
            found = self._cache[kind] = self._search(kind)
        return found

    def _search(self, kind: type) -> Codec | None:
        found = self._named(kind)
        if found is not None:
            return found
        for base in kind.__mro__[1:]:
            found = self._named(base)
            if found is not None and found.subclasses:
                return found
        candidates = sorted(self._by_tag.values(), key=self._rank)
        return next((held for held in candidates if held.matches is not None and held.matches(kind)), None)

    def _rank(self, codec: Codec) -> int:
        """The order in which predicates are asked: those for some classes, for kinds of classes, for the rest."""
        if codec is self._fallback:
            return 2
        return 1 if codec.tag.startswith("class.") else 0

    def _named(self, kind: type) -> Codec | None:
        return self._by_type.get(kind) or self._by_name.get(f"{kind.__module__}.{kind.__qualname__}")

    def for_tag(self, tag: str, version: int) -> Codec:
        """The codec that reads ``tag``.

        Raises:
            UnknownTagError: nobody registered it.
            MissingLibraryError: a built-in codec reads it, and its library is not installed.
            UnusableLibraryError: it is installed, and cannot be imported.
            NewerFormatError: the codec here is older than the payload.
        """
        found = self._by_tag.get(tag)
        if found is None:
            found = self._find_tag(tag)
        if version > found.version:
            raise NewerFormatError(f"the payload of {tag!r}", version, found.version)
        if version < 1:
            msg = f"the payload of {tag!r} has version {version!r}"
            raise CorruptPayloadError(msg)
        return found

    def _find_tag(self, tag: str) -> Codec:
        if self._builtins:
            self._load_tag_homes(tag)
        if tag not in self._by_tag:
            self._load_entry_points()
        if tag in self._by_tag:
            return self._by_tag[tag]
        raise UnknownTagError(tag, self._hint(tag))

    def _hint(self, tag: str) -> str:
        text = (
            "install the distribution that registers it, name its module in [xcom_codecs] modules, or import the "
            "module that registers it with @codec in the Dag file that pulls"
        )
        for name, reason in self._failures.items():
            text += f"; the entry point {name!r} failed to load: {reason}"
        return text if "." in tag else "it is not one of the built-in tags of this release; upgrade airflow-xcom-codecs"

    def _load_tag_homes(self, tag: str) -> None:
        root, dot, _ = tag.partition(".")
        for home in HOMES.get(root, ()) if dot else STDLIB:
            try:
                self._load_builtin(home)
            except ModuleNotFoundError as error:
                library = (error.name or root).partition(".")[0]
                raise MissingLibraryError(tag, library) from error
            except ImportError as error:
                raise UnusableLibraryError((error.name or root).partition(".")[0], error) from error

    def _load_homes(self, module: str) -> None:
        for home in HOMES.get(module.partition(".")[0], ()):
            self._load_builtin(home)

    def _load_homes_of(self, kind: type) -> None:
        try:
            for base in kind.__mro__:
                self._load_homes(base.__module__)
        except ImportError as error:  # pyarrow 26 does not load beside NumPy 1.26, but pandas 2 does
            msg = (
                f"the codec of {kind.__module__}.{kind.__qualname__} cannot be loaded ({error}); install what it needs"
            )
            raise UnsupportedTypeError(msg) from error

    def _load_builtin(self, home: str) -> None:
        if home in self._loaded:
            return
        module = importlib.import_module(f"airflow_xcom.codecs.builtin.{home}")
        with self._lock:
            if home not in self._loaded:
                for found in module.CODECS:
                    if found.tag not in self._by_tag:
                        self._add(found)
                self._loaded.add(home)

    def _load_entry_points(self) -> None:
        if not self._entry_points_due:
            return
        with self._loading:
            if not self._entry_points_due or self._is_loading:  # by this very thread, from within an entry point
                return
            self._is_loading = True
            for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
                self._load_entry_point(point)
            self._entry_points_due = self._is_loading = False

    def _load_entry_point(self, point: metadata.EntryPoint) -> None:
        before = set(self._modules)
        try:
            loaded = point.load()
            if isinstance(loaded, Codec) and self._by_tag.get(loaded.tag) is not loaded:
                self.register(loaded)
            if (distribution := distribution_of_point(point)) is not None:
                self._distributions.update(dict.fromkeys(self._modules.keys() - before, distribution))
        except Exception as error:  # noqa: BLE001 - one bad plugin must not take the others with it
            self._failures[point.name] = f"{type(error).__name__}: {error}"

    def __iter__(self) -> Iterator[Codec]:
        """Every codec, the built-in ones whose library is installed included."""
        if self._builtins:
            for home in dict.fromkeys(name for homes in HOMES.values() for name in homes):
                try:
                    self._load_builtin(home)
                except ImportError:
                    continue
        self._load_entry_points()
        return iter(tuple(self._by_tag.values()))


def _module_of(codec: Codec) -> tuple[str, str | None]:
    module = str(getattr(codec.encode, "__module__", None) or codec.tag)
    return module, getattr(sys.modules.get(module), "__file__", None)


def _allow_nothing(_name: str) -> bool:
    return False


registry = Registry()
