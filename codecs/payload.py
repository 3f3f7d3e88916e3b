"""A value as a payload and back: encoded once, written in any of the three syntaxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.codec import Codec, ColumnCodec, node_of, unsupported
from airflow_xcom.codecs.discovery import imported
from airflow_xcom.codecs.errors import CodecError, CorruptPayloadError, EncodeError, NestingError, SelectionError
from airflow_xcom.codecs.formats import json
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.formats.sharing import Budget
from airflow_xcom.codecs.nodes import Columns, Table, Tagged
from airflow_xcom.codecs.plain_json import exact_json
from airflow_xcom.codecs.quoting import described, quoted
from airflow_xcom.codecs.registry import Registry, registry

if TYPE_CHECKING:
    from airflow_xcom.codecs.bodies import NewWriter, TableBody
    from airflow_xcom.codecs.formats.msgpack.substitution import Substitutions
    from airflow_xcom.codecs.tree_body import TreeBody

__all__ = ["FORMATS", "Decoder", "Payload", "arrow_file", "decode", "decode_json", "decode_part", "encode"]

ARROW, MSGPACK = "arrow", "msgpack"
FORMATS = (ARROW, MSGPACK)

_NATIVE_TAGS = {cls: cls.__name__ for cls in (dict, list, str, bytes, float, int, bool, type(None), Tagged)}
_FEW = 16  # natives of a node that the row holds in the JSON syntax
_SHORT = 65_536  # bytes of JSON that they may take


class _LeafBody:
    """A value of which its codec makes few natives, ``text`` as JSON: nothing is packed unless it is a blob."""

    format = MSGPACK
    is_stream = has_index = False
    objects: frozenset[int] = frozenset()
    expanded, nulls = 0, ()

    def __init__(self, codec: Codec, node: Any, text: bytes, registry: Registry) -> None:
        self.tags = (codec.tag,)
        self.raw_size = self.least_size = len(text)
        self._codec, self._node, self._text, self._registry = codec, node, text, registry

    def chunks(self, compression: Compression) -> Iterable[Any]:
        from airflow_xcom.codecs.bodies import body_of

        return body_of(None, self._codec, self._node, self._registry).chunks(compression)

    def to_json(self) -> Any:
        node = self._node if b"{" not in self._text else json.with_maps(self._node)
        return json.tagged(self._codec.tag, self._codec.version, node)


class Payload:
    """An encoded value.

    Attributes:
        tag: the tag of the outermost codec, or the name of a native type (``"dict"``, ``"list"``, …).
        format: ``"arrow"`` (an Arrow IPC file) or ``"msgpack"`` (a stream of MessagePack objects).
        compression: of the blob; the row is never compressed.
        facts: a few JSON facts about the value, for people; ``head``, which takes long, may be a partial() of it.
        suppliers: for each tag in it that is not a built-in one, the distribution (``"name version"``) or the file that
            registered its codec.
        is_stream: whether the value is made while it is written, so that its size is not known before.
        objects: those in the value, by :func:`id`, that are to be the same objects in all of their places.
        expanded: the nodes, or more, that what is written once stands for in its other places; see
            :mod:`.formats.sharing`.
    """

    def __init__(
        self,
        tag: str,
        compression: Compression,
        facts: dict[str, Any],
        suppliers: dict[str, str],
        body: _LeafBody | TableBody | TreeBody,
    ) -> None:
        self.tag, self.compression = tag, compression
        self.facts, self.suppliers, self._body = facts, suppliers, body
        self.format, self.is_stream = body.format, body.is_stream
        self.objects, self.expanded = body.objects, body.expanded
        self._chunks: Iterable[Any] | None = None

    @cached_property
    def summary(self) -> dict[str, Any]:
        """All facts, told."""
        return {name: fact() if type(fact) is partial else fact for name, fact in self.facts.items()}

    @property
    def chunks(self) -> Iterable[Any]:
        """The bytes of the blob in order.

        Those that are not compressed share the memory of the value they were made from, so they must be written out
        before that value changes.  Those of a stream are made as they are taken, once.
        """
        if self._chunks is None:  # a cached_property takes a lock for that in Python 3.11
            self._chunks = self._body.chunks(self.compression)
        return self._chunks

    @property
    def index(self) -> Any:
        """The header of the blob, if it has an index of the items of a list; else None."""
        return next(iter(self.chunks)) if self._body.has_index else None

    @cached_property
    def size(self) -> int:
        """The number of bytes of the blob.

        Raises:
            TypeError: the payload is a stream.
        """
        self._refuse_stream()
        return sum(map(len, self.chunks))

    @property
    def raw_size(self) -> int:
        """The number of bytes without compression: of the blob, or of few natives as JSON.

        Raises:
            TypeError: the payload is a stream.
        """
        self._refuse_stream()
        return self._body.raw_size

    @property
    def nulls(self) -> Sequence[int | None]:
        """The nulls of each of the first columns of a table, as Arrow counts them: not NaN, and None for intervals."""
        return self._body.nulls

    @property
    def least_size(self) -> int:
        """The number of bytes that the value takes at least: of a table, it costs less to know than ``raw_size``."""
        return self._body.least_size

    def to_bytes(self) -> bytes:
        """Return the blob, in one piece."""
        return b"".join(self.chunks)

    def to_json(self) -> Any:
        """Return the same value in the JSON syntax, for the database row; no codec is called again.

        Raises:
            TypeError: the payload is a stream.
        """
        self._refuse_stream()
        return self._body.to_json()

    def _refuse_stream(self) -> None:
        if self.is_stream:
            msg = "what a stream holds is not known before it is written; encode the value without stream=True"
            raise TypeError(msg)


def encode(
    value: Any,
    *,
    stream: bool = False,
    compression: Compression | str = NO_COMPRESSION,
    registry: Registry = registry,
    substitutions: Substitutions | None = None,
) -> Payload:
    """Encode a value.

    Args:
        value: of any type that has a codec.
        stream: let what can be written piece by piece, such as a RecordBatchReader of some size, be a stream.
        compression: of the blob: ``"none"``, ``"lz4"``, ``"zstd"``, ``"zstd:LEVEL"``, or ``"auto"``.
        registry: the codecs.
        substitutions: of the value: what to store in place of parts that are refused.

    Raises:
        EncodeError: some part of the value cannot be stored exactly; the error says which, and what to do.
        ValueError: `compression` names no known compression.
    """
    chosen = Compression.parse(compression) if isinstance(compression, str) else compression
    try:
        if substitutions is None:
            return _encode(value, registry, chosen, stream=stream)
        made = substitutions.encode(lambda root, writer: _encode(root, registry, chosen, writer, stream=stream))
    except EncodeError as error:
        from airflow_xcom.codecs.refusal_advice import explained

        encode_part = partial(_encode, registry=registry, compression=chosen)
        raise explained(error, value, registry, encode_part) from error.__cause__
    except RecursionError as error:
        raise NestingError("it is nested too deeply") from error
    except (CodecError, MemoryError):
        raise
    except Exception as error:  # a class of its parts may run code of its own when it is looked at
        msg = f"an object in it fails when it is looked at ({described(error)}); return what it is made of"
        raise EncodeError(msg) from error
    substitutions.explain(registry, partial(_encode, registry=registry, compression=chosen))
    return made


def _encode(
    value: Any, registry: Registry, compression: Compression, new: NewWriter = None, *, stream: bool = False
) -> Payload:
    cls = type(value)
    if cls in _NATIVE_TAGS:
        codec, tag = None, value.tag if cls is Tagged else _NATIVE_TAGS[cls]
    elif (codec := registry.for_type(cls)) is not None:
        tag = codec.tag
    else:
        raise unsupported(value)
    body = _body(value, codec, registry, new, stream=stream)
    return Payload(tag, compression, _summary(codec, value), registry.suppliers(body.tags), body)


def _body(
    value: Any, codec: Codec | None, registry: Registry, new: NewWriter, *, stream: bool
) -> _LeafBody | TableBody | TreeBody:
    node = None
    if codec is not None:
        node = node_of(codec, value)
        if (text := exact_json(node, limit=_SHORT, ordered=False, reserved=frozenset(), most=_FEW)) is not None:
            return _LeafBody(codec, node, text, registry)
    body: TableBody | TreeBody = imported("airflow_xcom.codecs.bodies").body_of(
        value, codec, node, registry, new, stream=stream
    )
    return body


def _summary(codec: Codec | None, value: Any) -> dict[str, Any]:
    """Return a few facts for people, or nothing where the codec fails, which is no reason to refuse a value."""
    if codec is None:
        return {"length": len(value)} if isinstance(value, dict | list | str | bytes) else {}
    try:
        return codec.summarize(value)
    except Exception:  # noqa: BLE001 - it is the library's own code that counts, prints or slices
        return {}


def decode(memory: Any, format: str, *, registry: Registry = registry) -> Any:  # noqa: A002 - as a reference has it
    """Return the value of a blob.

    Args:
        memory: the blob, as any bytes-like object.  Writable memory is used in place, and the value keeps it alive
            and may change it; read-only memory is copied first.
        format: one of :data:`FORMATS`.
        registry: the codecs.

    Raises:
        DecodeError: the blob is damaged, newer than this release, or tagged with what no codec here reads.
    """
    view = memoryview(memory)
    view = view.cast("B") if not view.readonly else memoryview(bytearray(view))
    decoder = Decoder(registry)
    if format == MSGPACK:
        return imported("airflow_xcom.codecs.formats.msgpack.reader").read(view, decoder)
    if format == ARROW:
        from airflow_xcom.codecs.formats.arrow import file as arrow

        note, table = arrow.read_file(view)
        return decoder.restorer(note.tag, note.version)(decoder.table(table, decoder.read_json(note.meta), view))
    msg = f"the payload has the format {quoted(format)}, and this release reads {', '.join(FORMATS)}"
    raise CorruptPayloadError(msg)


def decode_json(value: Any, *, registry: Registry = registry) -> Any:
    """Return the value that was written in the JSON syntax.

    Raises:
        DecodeError: see :func:`decode`.
    """
    return Decoder(registry).read_json(value)


def decode_part(  # noqa: PLR0913 - what a caller may choose of a part
    fetch: Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]],
    size: int,
    *,
    columns: Sequence[Any] | None = None,
    rows: slice | None = None,
    as_: str | None = None,
    registry: Registry = registry,
) -> Any:
    """Return some columns and rows of a table that is a blob in the Arrow format, and read no more of it.

    No digest vouches for a part of a blob, but every value that is read is checked to be valid Arrow data.

    Args:
        fetch: returns the bytes of the blob from the start to before the stop of each range.
        size: of the blob in bytes.
        columns: labels, in the order that you want; None for all.
        rows: with a step of 1; None for all.
        as_: ``"pandas"``, ``"polars"`` or ``"pyarrow"``; None for the type that was encoded.
        registry: the codecs.

    Raises:
        UnknownColumnError: the table has no such column.
        SelectionError: the value is not a table, or that type cannot hold a column of it.
        DecodeError: see :func:`decode`.
    """
    from airflow_xcom.codecs.formats.arrow.ranges import ArrowRanges
    from airflow_xcom.codecs.tables import convert as conversion
    from airflow_xcom.codecs.tables.select import Request, columns_of, select

    if as_ not in {None, *conversion.FAMILIES}:
        raise SelectionError(f"as_={as_!r}: give {', '.join(map(repr, conversion.FAMILIES))}, or None")
    decoder = Decoder(registry)
    file = ArrowRanges(fetch, size)
    written = conversion.family(file.note.tag)
    request = Request(columns, rows, keeps_index=as_ in {None, written})
    source, meta = columns_of(file, decoder.read_json(file.note.meta), request)
    chosen = select(file.note.tag, meta, source.schema, file.count, request)
    part = decoder.table(source.table(chosen.columns, chosen.rows), chosen.meta, file.memory)
    if as_ not in {None, written} and written != "pyarrow":
        return conversion.convert(chosen.tag, part, as_)
    value = decoder.restorer(chosen.tag, file.note.version)(part)
    return conversion.as_type(as_, value) if as_ is not None and written == "pyarrow" else value


def arrow_file(value: Any) -> bytes | None:
    """Return the blob in the Arrow format for a table in the JSON syntax, made without its codec; None for the rest.

    Raises:
        DecodeError: the table is damaged.
    """
    match value:
        case {"$": [str(tag), int(version), {"$": ["table", [meta, stream]]}]}:
            from airflow_xcom.codecs.formats.arrow import file as arrow

            table = decode_json({json.MARK: ["table", [None, stream]]})
            return b"".join(arrow.write_file(table, tag, version, meta))
    return None


def _guarded(decode: Callable[[Any, int], Any], tag: str, version: int) -> Callable[[Any], Any]:
    def restore(node: Any) -> Any:
        try:
            return decode(node, version)
        except (CodecError, MemoryError):
            raise
        except Exception as error:
            msg = f"the codec {quoted(tag)} cannot read what is stored: {described(error)}"
            raise CorruptPayloadError(msg) from error

    return restore


class Decoder:
    """Reads payloads with the codecs of one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.budget = Budget()

    def restorer(self, tag: str, version: int) -> Callable[[Any], Any]:
        """Return what turns the nodes of a tag into values."""
        codec = self._registry.for_tag(tag, version)
        return _guarded(codec.decode if codec.cost is None else partial(self._decode_charged, codec), tag, version)

    def _decode_charged(self, codec: Codec, node: Any, version: int) -> Any:
        if codec.cost is not None:
            self.budget.charge(*codec.cost(node))
        return codec.decode(node, version)

    def restore_all(self, tag: str, version: int, columns: Columns) -> Any:
        """Return the list of values of many nodes of a tag; None where :meth:`restorer` must be asked for each."""
        codec = self._registry.for_tag(tag, version)
        return _guarded(codec.put, tag, version)(columns) if isinstance(codec, ColumnCodec) else None

    def table(self, table: Any, meta: Any, memory: memoryview | None) -> Table:
        return Table(table, meta, memory, unpack_cells=self._unpack_cells)

    def read_json(self, value: Any) -> Any:
        return json.Loader(value, self.restorer, self.read_stream, self._read_body, self.budget).read()

    def _read_body(self, memory: memoryview) -> Any:
        newest = imported("airflow_xcom.codecs.formats.msgpack.container").UNCOMPRESSED_VERSION
        # One row may hold any number of such bodies, so none of them may be compressed.
        return imported("airflow_xcom.codecs.formats.msgpack.reader").read(memory, self, newest=newest)

    def read_stream(self, stream: memoryview, meta: Any) -> Table:
        from airflow_xcom.codecs.formats.arrow import file as arrow

        return self.table(arrow.read_stream(stream, meta).table, meta, stream)

    def _unpack_cells(self, tags: Sequence[Sequence[Any]], data: memoryview, offsets: Any) -> list[Any]:
        from airflow_xcom.codecs.formats.msgpack.reader import read_cells

        self.budget.grant(data.nbytes)
        return read_cells((tags, data, offsets), self)
