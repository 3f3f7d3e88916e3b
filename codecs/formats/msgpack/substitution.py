"""Packs a value of which some parts are refused, with substitutes in their places.

Slower than :class:`~.writer.Writer`, which it takes the place of once that has refused a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.error_location import locate
from airflow_xcom.codecs.errors import EncodeError, RepetitionError
from airflow_xcom.codecs.formats.msgpack.columnar import Excess, too_deep
from airflow_xcom.codecs.formats.msgpack.writer import Writer, hide_natives
from airflow_xcom.codecs.nodes import WithCells
from airflow_xcom.codecs.refusal_advice import explain
from airflow_xcom.codecs.registry import Registry

T = TypeVar("T")

_UNFINISHED = object()  # in place of a list or dict whose items are looked at
_LOCATED = 10  # substitutions of which the place is looked for; each search may look at the whole value
_CONTAINERS = frozenset({dict, list})
_SETS = frozenset({set, frozenset})
_PLAIN = frozenset({bool, float, bytes, type(None)})  # the packer takes them as they are
_PLAIN_KEYS = frozenset({str, int, *_PLAIN})


@dataclass(frozen=True, slots=True)
class Substitution:
    """A part of a value that was refused.

    Attributes:
        path: where it stands, as Python would write it.
        error: by which it was refused.
        stored: the class of what is stored in its place.
    """

    path: str
    error: EncodeError
    stored: type


@dataclass
class Substitutions:
    """What is stored in place of the parts of a value that are refused.

    Attributes:
        value: the whole value.
        substitutes: yields what may stand in place of a part, the closest first; nothing if nothing may.
        count: of the parts.
        first: the first of them.
        trail: the objects that lead to what is packed now, outermost first.
    """

    value: Any
    substitutes: Callable[[Any], Iterable[Any]]
    count: int = 0
    first: list[Substitution] = field(default_factory=list)
    trail: list[Any] = field(default_factory=list)

    def encode(self, encode: Callable[[Any, Callable[..., Writer]], T]) -> T:
        """Return what ``encode`` makes of the value, or else of a substitute for the whole of it."""
        self.forget(0)
        new = partial(SubstitutingWriter, substitutions=self)
        try:
            return encode(self.value, new)
        except EncodeError as error:
            self.forget(0)
            return self.attempt(lambda root: encode(root, new), self.value, error)

    def attempt(self, pack: Callable[[Any], T], part: Any, error: EncodeError) -> T:
        """Return what ``pack`` makes of the closest substitute of a part that it takes; raise ``error`` without one."""
        for substitute in () if isinstance(error, RepetitionError) else self.substitutes(part):
            before = self.count
            self.note(part, error, type(substitute))
            try:
                return pack(substitute)
            except EncodeError:
                self.forget(before)
        raise error

    def note(self, part: Any, error: EncodeError, stored: type) -> None:
        """Take down that a part is replaced."""
        self.count += 1
        if self.count <= _LOCATED:
            path = locate(self.value, [part, *reversed(self.trail)])
            self.first.append(Substitution(path, error, stored))

    def explain(self, registry: Registry, encode: Callable[[Any], Any]) -> None:
        """Let the errors of the first of them say what to do; see :func:`..refusal_advice.explain`."""
        for found in self.first:
            explain(found.error, self.value, registry, encode)

    def forget(self, count: int) -> None:
        """Keep only the first ``count`` substitutions: what has the others is replaced itself."""
        self.count = count
        del self.first[count:]

    @contextmanager
    def within(self, value: Any) -> Iterator[None]:
        """Note that what is packed now belongs to ``value``."""
        self.trail.append(value)
        try:
            yield
        finally:
            self.trail.pop()


class SubstitutingWriter(Writer):
    """Packs one value with substitutes for what is refused of it, which ``substitutions`` has, and notes."""

    def __init__(
        self,
        find: Callable[[type], Codec | None],
        stream: Callable[[Any], list[Any]],
        *,
        inline: bool = False,
        substitutions: Substitutions,
    ) -> None:
        super().__init__(find, stream, inline=inline)
        self._substitutions = substitutions

    def pack(self, value: Any, around: Excess | None = None) -> bytes:
        """Return the packed node of ``value``; see :meth:`Writer.pack`."""
        return super().pack(self._prepared(value, {}) if type(value) in _CONTAINERS else value, around)

    def _separate(self) -> Writer:
        return SubstitutingWriter(self._find, self._stream, inline=True, substitutions=self._substitutions)

    def _encode_all(self, cls: type, objects: list[Any]) -> None:
        """Have each object packed on its own, so that only those that are refused are replaced."""

    def completed(self, codec: Codec, value: Any, node: WithCells) -> Any:
        """Return the node as :meth:`Writer.completed` does.  What is packed to sort a set is noted with its node."""
        noted = self._substitutions.count
        made = super().completed(codec, value, node)
        if type(value) in _SETS:
            self._substitutions.forget(noted)
        return made

    def _value(self, value: Any) -> Any:
        noted, before = self._substitutions.count, self._state()
        try:
            with self._substitutions.within(value):
                return super()._value(value)
        except EncodeError as error:
            self._forget(*before)
            self._substitutions.forget(noted)
            return self._substitutions.attempt(self._substitute, value, error)

    def _substitute(self, value: Any) -> Any:
        """Return what the packer takes for a substitute, which has none itself."""
        before = self._state()
        try:
            if type(value) in _CONTAINERS:
                return self._prepared(value, {})
            if type(value) in _PLAIN or type(hide_natives(value)) is str:
                return value
            form = self._FORMS.get(type(value), Writer._value)  # noqa: SLF001 - a substitute has none itself
            return form(self, value)
        except EncodeError:
            self._forget(*before)
            raise

    def _prepared(self, value: Any, done: dict[int, Any]) -> Any:
        """Return a native with what the packer would change hidden, and with substitutes for keys that are refused."""
        if type(value) not in _CONTAINERS:
            return hide_natives(value)
        if id(value) not in done:
            done[id(value)] = _UNFINISHED
            if type(value) is list:
                done[id(value)] = [self._prepared(item, done) for item in value]
            else:
                done[id(value)] = {self._key(key): self._prepared(item, done) for key, item in value.items()}
        elif done[id(value)] is _UNFINISHED:
            raise too_deep(value)
        return done[id(value)]

    def _key(self, key: Any) -> Any:
        if type(key) in _PLAIN_KEYS:
            return hide_natives(key)
        try:
            Writer(self._find, self._stream, inline=True).pack(key)
        except EncodeError as error:
            return self._key_substitute(key, error)
        return key

    def _key_substitute(self, key: Any, error: EncodeError) -> Any:
        """Return the key of the substitute of a dict that has only this key."""
        for substitute in self._substitutions.substitutes({key: None}):
            replaced = next(iter(substitute)) if type(substitute) is dict else key
            if type(replaced) in _PLAIN_KEYS:
                self._substitutions.note(key, error, type(replaced))
                return hide_natives(replaced)
        raise error
