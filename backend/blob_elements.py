"""The elements of a list in a blob, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.blobs import ranges_of, read_index
from airflow_xcom.codecs.elements import decode_item

if TYPE_CHECKING:
    from airflow_xcom.backend.envelope import Reference


class Elements(Sequence[Any]):
    """The elements of a list that is a blob with an index of them.

    Args:
        reference: to the blob.
        reading: calls what reads an element, and says in its errors which XCom it happened to.

    Raises:
        MissingPayloadError: The blob does not exist any more.
        CorruptPayloadError: The index is not what was written.
        StoreError: The store cannot be read.
    """

    def __init__(self, reference: Reference, reading: Callable[[Callable[[], Any]], Any]) -> None:
        self._fetch = ranges_of(reference)
        self._index = read_index(reference)
        self._reading = reading

    def __len__(self) -> int:
        return len(self._index.ranges)

    def __getitem__(self, key: Any) -> Any:
        """Return an element, or a list of those in a slice; raise what pulling the whole list does."""
        numbers = range(len(self))[key]
        return [self[number] for number in numbers] if isinstance(numbers, range) else self._element(numbers)

    def _element(self, number: int) -> Any:
        def read() -> Any:
            (memory,) = self._fetch([self._index.ranges[number]])
            return decode_item(self._index, number, memory)

        return self._reading(read)
