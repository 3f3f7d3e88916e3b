"""A codec: how one family of types becomes a node and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Codec"]


def _no_summary(_value: Any) -> dict[str, Any]:
    return {}


class Codec:
    """How one family of types becomes a node and comes back.

    Attributes:
        tag: the name written in payloads, for ever: ``"decimal"``, ``"numpy.ndarray"``, ``"acme.point"``.
        types: the classes handled, or their lazy names (``"package.module.Class"``), which import nothing.
        encode: ``encode(value) -> node``.  Raises ``UnsupportedValueError`` for a value it cannot give back.
        decode: ``decode(node, version) -> value``; reads every version up to ``version``.
        version: what ``encode`` writes, from 1.
        subclasses: whether ``encode`` and ``decode`` keep the exact class of subclasses too; without it, a
            subclass is refused rather than returned as its base.
        matches: a further test on a class, tried after exact types and base classes.
        summarize: a few JSON facts for people (shape, dtypes, first rows); must be cheap.
    """

    __slots__ = ("decode", "encode", "matches", "subclasses", "summarize", "tag", "types", "version")

    def __init__(  # noqa: PLR0913 - all that is to be known of a codec
        self,
        tag: str,
        types: Sequence[type | str],
        encode: Callable[[Any], Any],
        decode: Callable[[Any, int], Any],
        *,
        version: int = 1,
        subclasses: bool = False,
        matches: Callable[[type], bool] | None = None,
        summarize: Callable[[Any], dict[str, Any]] = _no_summary,
    ) -> None:
        self.tag = tag
        self.types = types
        self.encode = encode
        self.decode = decode
        self.version = version
        self.subclasses = subclasses
        self.matches = matches
        self.summarize = summarize

    def __repr__(self) -> str:
        return f"<Codec {self.tag!r}, version {self.version}>"
