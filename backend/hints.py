"""Hints of a task for one value: where it is kept, for how long, and how it is compressed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from airflow_xcom.backend.errors import HintError
from airflow_xcom.backend.settings import INEXACT, PREVIEWS
from airflow_xcom.codecs.formats.compression import Compression
from airflow_xcom.codecs.registry import advise

if TYPE_CHECKING:
    from airflow_xcom.backend.envelope import Coordinate
    from airflow_xcom.backend.settings import Settings

T = TypeVar("T")

_INLINE, _OFFLOADED = -1, 0  # thresholds

advise(
    "airflow_xcom.backend.hints.Stored",
    "a hint is for the whole value: return stored(...) around all of it, push this part under a key of its own, or set "
    "multiple_outputs=True for a dict of such parts",
)


class Hint:
    """The arguments of :func:`stored`; None follows the options."""

    def __init__(  # noqa: PLR0913 - those of stored
        self,
        *,
        store: str | None = None,
        compression: str | None = None,
        ttl: int | None = None,
        inline: bool | None = None,
        preview: str | None = None,
        inexact: str | None = None,
    ) -> None:
        self.store = store
        self.compression = compression
        self.ttl = ttl
        self.inline = inline
        self.preview = preview
        self.inexact = inexact
        self._check()

    def __repr__(self) -> str:
        return f"Hint({', '.join(f'{name}={item!r}' for name, item in vars(self).items())})"

    def _check(self) -> None:
        if self.compression is not None:
            _parsed(self.compression)
        if self.preview is not None and self.preview not in PREVIEWS:
            raise HintError("preview", self.preview, f"give {', '.join(PREVIEWS)}")
        if self.inexact is not None and self.inexact not in INEXACT:
            raise HintError("inexact", self.inexact, f"give {' or '.join(INEXACT)}")
        if self.ttl is not None and (type(self.ttl) is not int or self.ttl < 1):
            raise HintError("ttl", self.ttl, "give whole seconds, at least 1")
        if self.inline is True and (self.store, self.compression, self.ttl) != (None, None, None):
            raise HintError("inline", self.inline, "a value in the row has no store, compression or time to live")

    @property
    def offloads(self) -> bool:
        """Return whether the value goes to a blob, whatever it is."""
        return self.inline is False or self.store is not None or self.ttl is not None

    def applied(self, settings: Settings) -> Settings:
        """Return the options for this value.

        Raises:
            HintError: There is no such store, or it has no time to live.
        """
        if self.preview is not None:
            settings = replace(settings, preview=self.preview)
        if self.inexact is not None:
            settings = replace(settings, inexact=self.inexact)
        if self.inline is True:
            return replace(settings, threshold=_INLINE)
        if self.compression is not None:
            settings = replace(settings, compression=_parsed(self.compression))
        if not self.offloads:
            return settings
        name = settings.name if self.store is None else self.store
        if name not in settings.stores:
            raise HintError("store", name, f"[xcom_codecs] has no store but {', '.join(sorted(settings.stores))}")
        url: str | None = settings.stores[name]
        if self.ttl is not None:
            from airflow_xcom.backend.stores import with_ttl

            url = with_ttl(settings.stores[name], self.ttl)
        if url is None:
            raise HintError("ttl", self.ttl, f"the store {name!r} keeps values; only Redis and Valkey let them expire")
        return replace(settings, threshold=_OFFLOADED, name=name, path=url, stores={**settings.stores, name: url})


def _parsed(compression: str) -> Compression:
    try:
        return Compression.parse(compression)
    except (AttributeError, ValueError) as error:
        raise HintError("compression", compression, "give none, lz4, zstd, zstd:LEVEL or auto") from error


class Stored:
    """A value with a hint, on its way from a task to the backend.

    Airflow looks at what a task returns before the backend sees it: whether it is a dict whose items are pushed one by
    one, an Asset, true, or a sequence to map over, and of which length.  So this behaves like the value.
    """

    __slots__ = ("hint", "pushed", "value")

    any_here: ClassVar[bool] = False  # in this process: else nobody need look for one among a million items

    def __new__(cls, *_: Any) -> Self:
        """Make one; copying and unpickling come here, too."""
        Stored.any_here = True
        return object.__new__(cls)

    def __init__(self, value: Any, hint: Hint) -> None:
        self.value = value
        self.hint = hint
        self.pushed: Coordinate | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        """Return the type of the value: ``isinstance`` sees it, ``type()`` does not."""
        return type(self.value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in Stored.__slots__:  # the latter while it is copied
            raise AttributeError(name)
        return getattr(self.value, name)

    def __len__(self) -> int:
        return len(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __repr__(self) -> str:
        return f"stored({self.value!r}, {self.hint})"

    def serialize(self) -> Any:
        """Raise HintError: Airflow's serializer, which calls this, has no place for hints."""
        remedy = "a hint needs [core] xcom_backend = airflow_xcom.backend.CodecXComBackend"
        raise HintError("value", type(self.value), remedy)


def stored(  # noqa: PLR0913 - each is a hint
    value: T,
    *,
    store: str | None = None,
    compression: str | None = None,
    ttl: int | None = None,
    inline: bool | None = None,
    preview: str | None = None,
    inexact: str | None = None,
) -> T:
    """Return a value for a task to return or push, with a hint how to store it.

    ::

        return stored(frame, store="archive", compression="zstd")

    Args:
        value: the whole value of an XCom; with ``multiple_outputs``, also the item of one key.
        store: the name of a configured store.  The value goes there, whatever it is.
        compression: ``"none"``, ``"lz4"``, ``"zstd"``, ``"zstd:LEVEL"`` or ``"auto"``, for a value in a store.
        ttl: seconds that the store keeps the value; only Redis and Valkey let values expire.
        inline: True keeps the value in the metadata database, False in a store, whatever its size.
        preview: ``"rows"``, ``"columns"`` or ``"none"``: what Airflow's pages show of it.
        inexact: ``"as_airflow"`` stores what cannot come back exactly as Airflow itself would; ``"refuse"`` refuses it.

    Returns:
        A wrapper that Airflow and type checkers take for the value.

    Raises:
        HintError: A hint has a value that is not allowed.  Whether the store is configured, and has a time to live, is
            checked when the value is pushed.
    """
    if value is None:
        return value  # Airflow pushes nothing for it
    if type(value) is Stored:
        raise HintError("value", type(cast("Stored", value).value), "it has a hint already; give both in one call")
    hint = Hint(store=store, compression=compression, ttl=ttl, inline=inline, preview=preview, inexact=inexact)
    return cast("T", Stored(value, hint))


def unwrapped(value: Any, coordinate: Coordinate) -> tuple[Any, Hint]:
    """Return a value and its hint.

    Of a task with multiple outputs, Airflow pushes the items of a dict first, each under its key, and then the dict:
    there hints have served already, and the dict goes where its own says.
    """
    hint = Hint()
    if type(value) is Stored:
        value.pushed = coordinate
        value, hint = value.value, value.hint
    if type(value) is dict and Stored.any_here and Stored in set(map(type, value.values())):
        value = {key: _without_hint(item, replace(coordinate, key=key)) for key, item in value.items()}
    return value, hint


def _without_hint(item: Any, coordinate: Coordinate) -> Any:
    return item.value if type(item) is Stored and item.pushed == coordinate else item
