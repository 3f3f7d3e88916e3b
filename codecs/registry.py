"""Type to codec, tag to codec.

Looking up a type goes exact type, lazy name, base class, predicate, with one cache in front that every registration
clears.  Built-in codecs and entry points are found through the root package of the type or tag, so that nothing is
imported before one of its objects appears.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from typing import Any, TypeVar

from airflow_xcom.codecs.codec import Codec, check_form
from airflow_xcom.codecs.discovery import (
    HOMES,
    EntryPoints,
    Origin,
    distribution_of_point,
    homes_of_class,
    homes_of_tag,
    load_home,
    root_of,
)
from airflow_xcom.codecs.errors import (
    NO_VALUES,
    ClassNotAllowedError,
    CorruptPayloadError,
    MissingLibraryError,
    NewerFormatError,
    RegistrationError,
    UnknownTagError,
    UnsupportedTypeError,
    UnusableLibraryError,
)
from airflow_xcom.codecs.quoting import class_name, cut, module_of, quoted

T = TypeVar("T")

_tried: ContextVar[dict[str, None] | None] = ContextVar("the classes that are allowed on trial", default=None)


class Registry:
    """A set of codecs.  Thread-safe; the process-wide one is :data:`registry`.

    Attributes:
        entry_points: the codecs that installed distributions offer; those that are modules register in
            :data:`registry`, so that only those that are a :class:`Codec` are seen by another one.
    """

    def __init__(self, *, builtins: bool = True, entry_points: bool = True) -> None:
        """Begin with the codecs of this distribution, and those of other ones, unless told otherwise."""
        self._lock = threading.RLock()  # never held while a module is imported, which may register and wait for it
        self._by_tag: dict[str, Codec[Any]] = {}
        self._by_type: dict[type | str, Codec[Any]] = {}  # and by lazy names
        self._origins: dict[str, Origin] = {}  # of each tag that is not built in
        self._cache: dict[type, Codec[Any] | None] = {}
        self._loaded: set[str] = set()
        self._builtins = builtins
        self.entry_points = EntryPoints(self._load_entry_point)
        self.entry_points.all_loaded = not entry_points
        self._fallback: Codec[Any] | None = None
        self._allows: Callable[[str], bool] = lambda _name: False
        self._remedy = "allow {name} with Registry.allow_classes()"

    # -- registering -----------------------------------------------------------------------------------

    def register(self, codec: Codec[T], *, replace: bool = False, origin: Origin | None = None) -> Codec[T]:
        """Add ``codec``, and return it.

        Args:
            codec: for types, and under a tag, that no other codec has.
            replace: whether it may take the place of another one.
            origin: where it is registered, if that is not where its ``encode`` is defined.

        Raises:
            RegistrationError: The codec cannot work, its tag is reserved, or its tag or one of its types is taken and
                ``replace`` is false.
        """
        check_form(codec)
        self._refuse_reserved(codec, replace=replace)
        origin = origin or Origin.of_codec(codec)
        with self._lock:
            earlier = self._by_tag.get(codec.tag)
            before = self._origins.get(codec.tag)
            again = before is not None and origin.reexecutes(before)
            if not replace:
                self._refuse_taken(codec, None if again or earlier is None else before or Origin.of_codec(earlier))
            if earlier is not None and not again:
                self._forget(earlier)
            self._add(codec)
            if again and earlier is not None and before is not None and before.is_main:
                self._by_tag[codec.tag] = earlier  # the program that runs is the one whose classes are wanted back
            else:
                self._origins[codec.tag] = origin
        return codec

    def _refuse_reserved(self, codec: Codec[Any], *, replace: bool) -> None:
        if not self._builtins:
            return
        root = root_of(codec.tag)
        if root in HOMES and not replace:
            msg = f"tags that begin with {root!r} are reserved for the built-in codecs; use a namespace of your own"
            raise RegistrationError(msg)
        for handled in codec.types:
            if isinstance(handled, type):
                for home in HOMES.get(root_of(module_of(handled)), ()):
                    self._load_builtin(home)

    def _refuse_taken(self, codec: Codec[Any], holder_of_tag: Origin | None) -> None:
        if holder_of_tag is not None:
            raise RegistrationError(
                f"the tag {codec.tag!r} is registered already, by {holder_of_tag.supplier}; register it in one module "
                "that both import, choose another tag, or pass replace=True to replace it"
            )
        for handled in codec.types:
            holder = self._by_type.get(handled)
            if holder is not None and holder.tag != codec.tag:
                msg = f"{handled!r} is handled by the codec {holder.tag!r} already; pass replace=True to replace it"
                raise RegistrationError(msg)

    def _add(self, codec: Codec[Any]) -> None:
        self._by_tag[codec.tag] = codec
        self._by_type |= dict.fromkeys(codec.types, codec)
        self._cache.clear()

    def _forget(self, codec: Codec[Any]) -> None:
        for handled in codec.types:
            self._by_type.pop(handled, None)
        self._by_tag.pop(codec.tag, None)
        self._origins.pop(codec.tag, None)

    def set_fallback(self, codec: Codec[Any]) -> None:
        """Use ``codec`` for types that its ``matches`` accepts and no other codec handles; it replaces the last one."""
        with self._lock:
            if self._fallback is not None:
                self._forget(self._fallback)
            self._fallback = codec
            self._add(codec)

    def allow_classes(self, predicate: Callable[[str], bool], *, remedy: str | None = None) -> None:
        """Let classes be stored and restored by their names; it replaces the last call, and until one, none is.

        Args:
            predicate: whether to allow a class, by its name (``"package.module.Class"``).
            remedy: what errors say to do for a class to be allowed, in which ``{name}`` stands for its name; None
                leaves it as it is.
        """
        self._allows = predicate
        self._remedy = self._remedy if remedy is None else remedy

    def check_class(self, name: str) -> None:
        """Raise ClassNotAllowedError unless the predicate of :meth:`allow_classes` lets the name of a class pass."""
        if not self._allows(name):
            if (tried := _tried.get()) is not None:
                tried.setdefault(name)
                return
            raise ClassNotAllowedError(name, self.remedy([name]))

    @contextmanager
    def allowing(self) -> Iterator[dict[str, None]]:
        """Allow every class in this thread, to try what a refusal would advise; yield the names that it was for."""
        tried: dict[str, None] = {}
        token = _tried.set(tried)
        try:
            yield tried
        finally:
            _tried.reset(token)

    def remedy(self, names: Iterable[str]) -> str:
        """Return what to do for classes to be allowed."""
        return self._remedy.replace("{name}", " ".join(map(cut, names)))

    def suppliers(self, tags: Collection[str]) -> dict[str, str]:
        """Return who registered the codec of each tag that is not built in: ``"distribution version"``, or a file."""
        if self._origins.keys().isdisjoint(tags):
            return {}
        return {tag: self._origins[tag].supplier for tag in sorted(tags) if tag in self._origins}

    # -- looking up ------------------------------------------------------------------------------------

    def for_type(self, cls: type) -> Codec[Any] | None:
        """Return the codec for objects whose class is exactly ``cls``, or None.

        Raises:
            UnsupportedTypeError: Its codec needs a library that cannot be imported.
        """
        try:
            return self._cache[cls]
        except KeyError:
            return self._find_type(cls)

    def _find_type(self, cls: type) -> Codec[Any] | None:
        if self._builtins:
            self._load_homes_of(cls)
        self.entry_points.load(root_of(module_of(cls)))
        if self._named(cls) is None:  # then any entry point may hold the codec, before a base's or a predicate's
            self.entry_points.load()
        with self._lock:
            exact = self._named(cls)
            codec = exact or self._search(cls)
            if exact is not None or self.entry_points.all_loaded:
                self._cache[cls] = codec
        return codec

    def _search(self, cls: type) -> Codec[Any] | None:
        for base in cls.__mro__[1:]:
            codec = self._named(base)
            if codec is not None and codec.subclasses:
                return codec
        candidates = sorted(self._by_tag.values(), key=self._rank)
        return next((codec for codec in candidates if codec.matches is not None and codec.matches(cls)), None)

    def _rank(self, codec: Codec[Any]) -> int:
        """Return the order in which predicates are asked: for some classes, for families of classes, for the rest."""
        if codec is self._fallback:
            return 2
        return 1 if codec.tag.startswith("class.") else 0

    def _named(self, cls: type) -> Codec[Any] | None:
        return self._by_type.get(cls) or self._by_type.get(class_name(cls))

    def for_tag(self, tag: str, version: int) -> Codec[Any]:
        """Return the codec that reads ``tag``.

        Raises:
            UnknownTagError: Nobody registered it.
            MissingLibraryError: A built-in codec reads it, and its library is not installed.
            UnusableLibraryError: The library is installed, and cannot be imported.
            NewerFormatError: The codec here is older than the payload.
        """
        codec = self._by_tag.get(tag) or self._find_tag(tag)
        if version > codec.version:
            raise NewerFormatError(f"the payload of {quoted(tag)}", version, codec.version)
        if version < 1:
            raise CorruptPayloadError(f"the payload of {quoted(tag)} has version {quoted(version)}")
        return codec

    def _find_tag(self, tag: str) -> Codec[Any]:
        if self._builtins:
            self._load_homes_of_tag(tag)
        for root in (root_of(tag), None):
            if tag not in self._by_tag:
                self.entry_points.load(root)
        if tag in self._by_tag:
            return self._by_tag[tag]
        raise UnknownTagError(tag, self._hint(tag))

    def _hint(self, tag: str) -> str:
        if "." not in tag:
            return "it is not one of the built-in tags of this release; upgrade airflow-xcom-codecs"
        advice = "install the distribution that registers it, or import the module that does, where the value is pulled"
        return "; ".join([advice, *self.entry_points.failures])

    def _load_homes_of_tag(self, tag: str) -> None:
        for home in homes_of_tag(tag):
            if tag in self._by_tag:
                return
            try:
                self._load_builtin(home)
            except ModuleNotFoundError as error:
                raise MissingLibraryError(tag, root_of(error.name or tag)) from error
            except ImportError as error:
                raise UnusableLibraryError(root_of(error.name or tag), error) from error

    def _load_homes_of(self, cls: type) -> None:
        try:
            for home in homes_of_class(cls):
                self._load_builtin(home)
                if self._named(cls) is not None:  # no base has to be known
                    return
        except ImportError as error:  # pyarrow 26 does not load beside NumPy 1.26, but pandas 2 does
            msg = f"the codec of {class_name(cls)} cannot be loaded ({error}); install what it needs"
            raise UnsupportedTypeError(msg) from error

    def _load_builtin(self, home: str) -> None:
        if home in self._loaded:
            return
        codecs = load_home(home, self.check_class)
        with self._lock:
            if home not in self._loaded:
                for codec in codecs:
                    if codec.tag not in self._by_tag:
                        self._add(codec)
                self._loaded.add(home)

    def _load_entry_point(self, point: metadata.EntryPoint) -> None:
        before = set(self._origins)
        loaded = point.load()
        if isinstance(loaded, Codec) and self._by_tag.get(loaded.tag) is not loaded:
            self.register(loaded)
        for tag in self._origins.keys() - before:
            self._origins[tag].distribution = distribution_of_point(point)

    def __iter__(self) -> Iterator[Codec[Any]]:
        """Go through every codec, with the built-in ones whose library is installed."""
        if self._builtins:
            for home in dict.fromkeys(name for homes in HOMES.values() for name in homes):
                try:
                    self._load_builtin(home)
                except ImportError:
                    continue
        self.entry_points.load()
        return iter(tuple(self._by_tag.values()))


registry = Registry()


def advise(name: str, advice: str) -> None:
    """Set what the refusal of ``"package.module.Class"``, and of its subclasses, advises, even where a codec has it."""
    NO_VALUES[name] = advice
    registry._cache.clear()  # noqa: SLF001 - a codec that leaves out such classes may have been found for one
