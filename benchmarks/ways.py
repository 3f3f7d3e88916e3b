"""Ways to bring a value to another process: this distribution, and what it is compared with.

Each way has the same five methods.  ``push`` stores the value where another process finds it, and returns the row that
Airflow's database would hold, as JSON; ``pull`` returns the value of a row; ``drop`` removes what was stored.
``encode`` and ``decode`` do the same in memory, without a store.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle  # noqa: TID251 - what we are compared with
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NOTES", "WAYS", "Way", "delete_blob", "ways_named"]

AT: dict[str, Any] = {"dag_id": "bench", "run_id": "run", "task_id": "task", "map_index": -1}
SLOW = 200_000_000  # bytes above which text in memory would take several GB
OPTIONS = "AIRFLOW__XCOM_CODECS__"


def delete_blob(row: Any) -> None:
    """Delete the blob of a row, if it has one, as a sweep would."""
    from airflow_xcom.backend.settings import settings
    from airflow_xcom.backend.stores import open_store

    match row:
        case {"airflow_xcom": {"ref": {"path": path}}}:
            open_store(settings().path).delete(path)


class Way:
    """A way to bring a value over; it keeps its files in ``folder``.

    Attributes:
        name: in the report.
        note: what one must know to compare fairly.
        largest: the bytes above which it is left out.
        makes_rows: whether it is a backend, whose rows travel as JSON, of which the time is counted.
        in_memory: whether ``encode`` and ``decode`` are measured: not where another way has the same.
    """

    name: ClassVar[str]
    note: ClassVar[str]
    largest: ClassVar[int | None] = None
    makes_rows: ClassVar[bool] = False
    in_memory: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "value"

    def prepare(self, value: Any) -> None:
        """Prepare for the value; the time is not measured."""

    def push(self, value: Any) -> Any:
        """Leave the value in a file."""
        with self.file.open("wb") as file:
            file.write(self.encode(value))
            self.flush(file)

    def pull(self, _row: Any) -> Any:
        """Return the value of the file."""
        with self.file.open("rb") as file:
            return self.decode(file.read())

    def drop(self, _row: Any) -> None:
        """Remove the file."""
        self.file.unlink()

    def size(self, _row: Any) -> int:
        """Return the bytes of the files."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    def flush(self, file: Any) -> None:
        """Do nothing: the system writes to the disk when it likes."""

    def encode(self, value: Any) -> Any:
        """Return what would be written."""
        raise NotImplementedError

    def decode(self, encoded: Any) -> Any:
        """Return the value of what was encoded."""
        raise NotImplementedError

    def received(self, encoded: Any) -> Any:
        """Return what was encoded as another process would have it in memory; the time is not measured."""
        return encoded

    def difference(self, value: Any, pulled: Any) -> str | None:
        """Return where the pulled value differs in type, dtype, order or any bit of its content; None if nowhere."""
        from airflow_xcom.codecs.testing import difference

        return difference(value, pulled)


class Ours(Way):
    """This distribution's backend over local files, as configured by default."""

    name = "ours"
    note = "file store, default options; digest checked; fsync of the file and of its folder"
    makes_rows = True
    options: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.environ.update({f"{OPTIONS}PATH": folder.as_uri(), **self.options})
        from airflow_xcom.backend import CodecXComBackend

        self._backend: Any = CodecXComBackend

    def push(self, value: Any) -> Any:
        return self._backend.serialize_value(value, key="k", **AT)

    def pull(self, row: Any) -> Any:
        return self._backend.deserialize_value(SimpleNamespace(value=row, key="k"))

    def drop(self, row: Any) -> None:
        delete_blob(row)

    def encode(self, value: Any) -> Any:
        """Return the buffers, not joined; without compression they share the memory of the value."""
        from airflow_xcom.codecs import encode

        payload = encode(value, compression=self.options.get(f"{OPTIONS}COMPRESSION", "none"))
        return payload.format, list(payload.chunks)

    def decode(self, encoded: Any) -> Any:
        from airflow_xcom.codecs import decode

        form, memory = encoded
        return decode(memory, form)

    def received(self, encoded: Any) -> Any:
        form, chunks = encoded
        memory = mmap.mmap(-1, max(sum(memoryview(chunk).nbytes for chunk in chunks), 1))
        for chunk in chunks:
            memory.write(chunk)
        return form, memory


class OursAuto(Ours):
    """The same with ``compression = auto``."""

    name = "ours, auto"
    note = "as ours, with compression = auto"
    options: ClassVar[dict[str, str]] = {f"{OPTIONS}COMPRESSION": "auto"}


class OursUnflushed(Ours):
    """The same without a flush, as pickle-5 is."""

    name = "ours, unflushed"
    note = "as ours, with durable = False: no fsync"
    in_memory = False
    options: ClassVar[dict[str, str]] = {f"{OPTIONS}DURABLE": "False"}


class Pickle(Way):
    """Protocol 5 to a file and back."""

    name = "pickle-5"
    note = "pickle.dump(protocol=5) to a file, no fsync, no digest"

    def push(self, value: Any) -> Any:
        with self.file.open("wb") as file:
            pickle.dump(value, file, protocol=5)
            self.flush(file)

    def pull(self, _row: Any) -> Any:
        with self.file.open("rb") as file:
            return pickle.load(file)

    def encode(self, value: Any) -> Any:
        return pickle.dumps(value, protocol=5)

    def decode(self, encoded: Any) -> Any:
        return pickle.loads(encoded)


class PickleFsync(Pickle):
    """The same, flushed to the disk, as ours is."""

    name = "pickle-5, fsync"
    note = "the same with fsync of the file and of its folder, as ours does"
    in_memory = False

    def flush(self, file: Any) -> None:
        flush(file)


class PickleBuffers(Way):
    """Protocol 5 with its buffers out of band (PEP 574) and not copied: the best that pickle can do."""

    name = "pickle-5, buffers"
    note = "pickle-5 with out-of-band buffers, written one after another, and mapped, no fsync"

    def push(self, value: Any) -> Any:
        data, buffers = self.encode(value)
        raw = [memoryview(data), *(buffer.raw() for buffer in buffers)]
        with self.file.open("wb") as file:
            pickle.dump([part.nbytes for part in raw], file, protocol=5)
            for part in raw:
                file.write(part)

    def pull(self, _row: Any) -> Any:
        with self.file.open("rb") as file:
            sizes = pickle.load(file)
            start, memory = file.tell(), memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        parts = []
        for size in sizes:
            parts.append(memory[start : start + size])
            start += size
        return pickle.loads(parts[0], buffers=parts[1:])

    def encode(self, value: Any) -> Any:
        buffers: list[Any] = []
        return pickle.dumps(value, protocol=5, buffer_callback=buffers.append), buffers

    def decode(self, encoded: Any) -> Any:
        return pickle.loads(encoded[0], buffers=encoded[1])

    def received(self, encoded: Any) -> Any:
        return encoded[0], [bytearray(buffer.raw()) for buffer in encoded[1]]


class CloudPickle(Pickle):
    """Pickles classes and functions by value too."""

    name = "cloudpickle"
    note = "cloudpickle.dump to a file, no fsync"

    def push(self, value: Any) -> Any:
        import cloudpickle

        with self.file.open("wb") as file:
            cloudpickle.dump(value, file)

    def encode(self, value: Any) -> Any:
        import cloudpickle

        return cloudpickle.dumps(value)


class Serde(Way):
    """Airflow's own serializer, as its default backend uses it."""

    name = "stock serde"
    note = "BaseXCom.serialize_value and deserialize_value and the JSON of the row, in memory: no file at all"
    largest = SLOW
    makes_rows = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from airflow.sdk.bases.xcom import BaseXCom

        self._backend: Any = BaseXCom

    def push(self, value: Any) -> Any:
        return self._backend.serialize_value(value)

    def pull(self, row: Any) -> Any:
        return self._backend.deserialize_value(SimpleNamespace(value=row))

    def drop(self, _row: Any) -> None: ...

    def encode(self, value: Any) -> Any:
        return self.push(value)

    def decode(self, encoded: Any) -> Any:
        return self.pull(encoded)


class ObjectStorage(Serde):
    """Airflow's object-storage backend over local files; everything is offloaded."""

    name = "object storage"
    note = "Airflow's XComObjectStorageBackend, file://, threshold 0, no fsync"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.environ["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH"] = folder.as_uri()
        os.environ["AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD"] = "0"
        from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend

        self._backend = XComObjectStorageBackend

    def push(self, value: Any) -> Any:
        return self._backend.serialize_value(value, key="k", **AT)

    def drop(self, row: Any) -> None:
        self._backend.purge(SimpleNamespace(value=row))

    def encode(self, value: Any) -> Any:
        """Return what it writes to its file."""
        import json

        from airflow.sdk.serde import serialize

        return json.dumps(serialize(value))

    def decode(self, encoded: Any) -> Any:
        import json

        from airflow.sdk.serde import deserialize

        return deserialize(json.loads(encoded))


class MessagePackNumPy(Way):
    """MessagePack with arrays."""

    name = "msgpack-numpy"
    note = "msgpack.packb(default=msgpack_numpy.encode) to a file, no fsync"

    def encode(self, value: Any) -> Any:
        import msgpack
        import msgpack_numpy

        return msgpack.packb(value, default=msgpack_numpy.encode)

    def decode(self, encoded: Any) -> Any:
        import msgpack
        import msgpack_numpy

        return msgpack.unpackb(encoded, object_hook=msgpack_numpy.decode, strict_map_key=False)


class Distributed(Way):
    """What Dask's workers send each other."""

    name = "distributed"
    note = "distributed.protocol's serialize_bytes and deserialize_bytes, pickle for what Dask does not know, no fsync"

    def encode(self, value: Any) -> Any:
        from distributed.protocol.serialize import serialize_bytes

        return serialize_bytes(value)

    def decode(self, encoded: Any) -> Any:
        from distributed.protocol.serialize import deserialize_bytes

        return deserialize_bytes(encoded)


class Fory(Way):
    """Apache Fory's Python."""

    name = "pyfory"
    note = "pyfory.Fory(ref=True, strict=False) to a file and back, no fsync, no check of classes"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import pyfory

        self._fory: Any = pyfory.Fory(xlang=False, ref=True, strict=False)

    def encode(self, value: Any) -> Any:
        return self._fory.serialize(value)

    def decode(self, encoded: Any) -> Any:
        return self._fory.deserialize(encoded)


class Parquet(Way):
    """pandas' own."""

    name = "Parquet"
    note = "DataFrame.to_parquet and pandas.read_parquet with their defaults (pyarrow, Snappy), no fsync"
    compression = "snappy"

    def push(self, value: Any) -> Any:
        with self.file.open("wb") as file:
            self._write(value, file)

    def pull(self, _row: Any) -> Any:
        import pandas as pd

        return pd.read_parquet(self.file)

    def encode(self, value: Any) -> Any:
        buffer = io.BytesIO()
        self._write(value, buffer)
        return buffer.getbuffer()

    def decode(self, encoded: Any) -> Any:
        import pandas as pd

        return pd.read_parquet(io.BytesIO(encoded))

    def _write(self, value: Any, file: Any) -> None:
        _only_frames(value).to_parquet(file, compression=self.compression)


class ParquetZstd(Parquet):
    """The same with Zstandard."""

    name = "Parquet, zstd"
    note = "the same with Zstandard"
    compression = "zstd"


class Feather(Parquet):
    """Arrow's file format, by pandas."""

    name = "Feather"
    note = "DataFrame.to_feather without compression and pandas.read_feather, no fsync"

    def pull(self, _row: Any) -> Any:
        import pandas as pd

        return pd.read_feather(self.file)

    def decode(self, encoded: Any) -> Any:
        import pandas as pd

        return pd.read_feather(io.BytesIO(encoded))

    def _write(self, value: Any, file: Any) -> None:
        _only_frames(value).to_feather(file, compression="uncompressed")


class Limit(Way):
    """The time to write the same bytes and map them, which nothing that uses a file can beat."""

    name = "limit"
    note = "write and map of the very bytes of our blob, nothing encoded or decoded, no fsync"
    in_memory = False

    def prepare(self, value: Any) -> None:
        from airflow_xcom.codecs import encode

        self._data = encode(value).to_bytes()

    def push(self, value: Any) -> Any:  # noqa: ARG002 - its bytes are there already
        with self.file.open("wb", buffering=0) as file:
            view = memoryview(self._data)
            while view:
                view = view[file.write(view) :]
            self.flush(file)

    def pull(self, _row: Any) -> Any:
        with self.file.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def difference(self, _value: Any, pulled: Any) -> str | None:
        return None if bytes(pulled) == self._data else "other bytes"


class LimitFsync(Limit):
    """The same, flushed to the disk."""

    name = "limit, fsync"
    note = "the same with fsync of the file and of its folder"

    def flush(self, file: Any) -> None:
        flush(file)


def flush(file: Any) -> None:
    """Flush all that was written, and the entry in the folder, to the disk."""
    file.flush()
    os.fsync(file.fileno())
    folder = os.open(os.path.dirname(file.name), os.O_RDONLY)  # noqa: PTH120 - a name, of no path
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _only_frames(value: Any) -> Any:
    import pandas as pd

    if not isinstance(value, pd.DataFrame):
        raise TypeError(f"{type(value).__name__} is not a frame")
    return value


WAYS: tuple[type[Way], ...] = (
    Ours,
    OursAuto,
    OursUnflushed,
    Pickle,
    PickleFsync,
    PickleBuffers,
    CloudPickle,
    Serde,
    ObjectStorage,
    MessagePackNumPy,
    Distributed,
    Fory,
    Parquet,
    ParquetZstd,
    Feather,
    Limit,
    LimitFsync,
)
NOTES = {way.name: way.note for way in WAYS}


def ways_named(names: list[str]) -> tuple[type[Way], ...]:
    """Return ours and the ways of these names, or all ways if no names are given.

    Raises:
        ValueError: A name is not that of a way.
    """
    if unknown := set(names) - set(NOTES):
        raise ValueError(f"there is no way {', '.join(sorted(unknown))}; there are {', '.join(NOTES)}")
    return tuple(way for way in WAYS if not names or way is Ours or way.name in names)
