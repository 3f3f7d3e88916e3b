"""What can go wrong between a value and its payload.

Every error that this distribution raises on purpose is a :class:`CodecError`.  The data of an error is in attributes,
so that a caller can act on it without parsing the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_xcom.codecs.quoting import cut, described, quoted

# Classes whose objects are never values -> what to return in their place.
NO_VALUES: dict[str, str] = {
    "sqlalchemy.engine.url.URL": "it may hold a password; return value.render_as_string(), which hides it"
}
_SHOWN = 100  # labels in a message
_LONGEST = 2000  # characters of a message about a payload


class CodecError(Exception):
    """Base of every error of this distribution.

    Attributes:
        context: which XCom it happened to, when that is known; part of the message.
    """

    context: str | None = None

    def __str__(self) -> str:
        return self._message() + (f" [{self.context}]" if self.context else "")

    def _message(self) -> str:
        return super().__str__()


class RegistrationError(CodecError, ValueError):
    """A codec cannot be registered: it cannot work as it is, or its tag or type is taken."""


class EncodeError(CodecError):
    """A value cannot be stored exactly; raised at push.

    Attributes:
        path: where in the pushed value the fault lies, as Python would write it: ``value["a"][3].model``.
    """

    def __init__(self, reason: str, *, path: str = "value") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path
        self.trail: list[object] = []
        self.step = ""

    def within(self, what: str, step: str = "") -> None:
        """Say in which part of what is encoded the fault lies; ``step`` leads there, unless an object in it does."""
        self.reason = f"{what}: {self.reason}"
        self.step = self.step if self.trail else step + self.step

    def _message(self) -> str:
        return f"{self.path}: {self.reason}"


class UnsupportedTypeError(EncodeError, TypeError):
    """No codec knows the type of some part of the value.

    Attributes:
        lacks_advice: whether the reason does not say yet what to do.
    """

    lacks_advice = False


class UnsupportedValueError(EncodeError, ValueError):
    """The type is known, but this value of it cannot be stored exactly."""


class RepetitionError(UnsupportedValueError):
    """The value holds the same parts so often that they cannot be written out; nor does Airflow's serializer end."""


class NestingError(EncodeError, ValueError):
    """The value is nested deeper than a payload may be.

    Attributes:
        remedy: what to do; part of the message.
    """

    remedy = "return it as a list, with the level or the parent of each item"

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; {self.remedy}")


class CircularReferenceError(EncodeError, ValueError):
    """The value contains itself.

    Attributes:
        remedy: what to do; part of the message.
    """

    remedy = "return a key or an index in place of the inner one"

    def __init__(self, repeated: object) -> None:
        super().__init__(f"the {type(repeated).__name__} contains itself; {self.remedy}")


class DecodeError(CodecError):
    """A payload cannot be turned back into its value; raised at pull."""


class CorruptPayloadError(DecodeError, ValueError):
    """The bytes are not a payload of this format, or are damaged."""

    def __init__(self, reason: str) -> None:
        super().__init__(cut(reason, _LONGEST))


class NewerFormatError(DecodeError):
    """The payload was written by a newer release than this one can read.

    Attributes:
        what: what is newer, such as ``"MessagePack body"`` or a tag.
        version: the version of the payload.
        supported: the newest version this release reads.
    """

    def __init__(self, what: str, version: object, supported: int) -> None:
        super().__init__(
            f"{what} has version {quoted(version)}, and this release reads up to {supported}; "
            "upgrade airflow-xcom-codecs, or the distribution that supplies the codec, where the value is pulled"
        )
        self.what = what
        self.version = version
        self.supported = supported


class SelectionError(DecodeError, ValueError):
    """The columns or rows that were asked for cannot be taken from the stored value, or not as this type."""


class UnknownColumnError(SelectionError, LookupError):
    """A stored table has no such column.

    Attributes:
        columns: the columns that were asked for and that the table lacks.
        labels: the columns of the table.
    """

    def __init__(self, columns: Sequence[object], labels: Iterable[object]) -> None:
        self.columns = list(columns)
        self.labels = list(labels)
        shown = ", ".join(map(quoted, self.labels[:_SHOWN])) + (", ..." if len(self.labels) > _SHOWN else "")
        super().__init__(
            f"there is no column {', '.join(map(quoted, self.columns))}; the table has {shown or 'no columns'}"
        )


class UnknownTagError(DecodeError, LookupError):
    """No registered codec reads this tag.

    Attributes:
        tag: the tag in the payload.
        hint: what to do; part of the message.
        supplier: the distribution (``"name version"``) or the file that supplied the codec where the value was pushed,
            if that is known; part of the message.
    """

    def __init__(self, tag: str, hint: str) -> None:
        super().__init__(tag, hint)
        self.tag = tag
        self.hint = hint
        self.supplier: str | None = None

    def _message(self) -> str:
        writer = f", which {cut(str(self.supplier))} wrote" if self.supplier else ""
        return f"no codec is registered for the tag {quoted(self.tag)}{writer}: {self.hint}"


class MissingLibraryError(DecodeError, ImportError):
    """The library whose objects a tag restores is not installed.

    Attributes:
        tag: the tag in the payload.
        library: the module that could not be imported.
    """

    def __init__(self, tag: str, library: str) -> None:
        super().__init__(
            f"a value tagged {quoted(tag)} needs {library!r}, which is not installed here; "
            f"install {library} where the value is pulled"
        )
        self.tag = tag
        self.library = library


class UnusableLibraryError(DecodeError, ImportError):
    """A library that a payload needs cannot be imported; mostly, another one is too old for it.

    Attributes:
        library: the library.
        reason: the message of the import error.
    """

    def __init__(self, library: str, reason: object) -> None:
        super().__init__(
            f"{library} cannot be imported here ({reason}); install releases that fit together, where the value is "
            "pulled"
        )
        self.library = library
        self.reason = str(reason)


class LibraryVersionError(DecodeError):
    """The installed release of a library cannot hold what a payload says; another release can.

    Attributes:
        library: the library.
        installed: its version here.
        needed: the versions that can, such as ``"2.3 or newer"``.
    """

    def __init__(self, what: str, library: str, installed: str, needed: str) -> None:
        super().__init__(
            f"{what} needs {library} {needed}, and {library} {installed} is installed here; install {library} {needed} "
            "where the value is pulled"
        )
        self.library = library
        self.installed = installed
        self.needed = needed


class ClassNotAllowedError(DecodeError):
    """A payload names a class that may not be restored here by its name.

    Attributes:
        name: the class, as ``"package.module.Class"``.
    """

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__(f"{cut(name)} may not be restored by its name: {remedy}")
        self.name = name


class MissingClassError(DecodeError, LookupError):
    """A payload names a class that cannot be found.

    Attributes:
        name: the class, as ``"package.module.Class"``.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"{cut(name)} is not found where the value is pulled ({why}); install the distribution that defines it, "
            "or, if a Dag file defines it, move it to a module that all Dags import"
        )
        self.name = name


class any_error_as_corrupt:  # noqa: N801 - as contextlib's; pulls enter one, and a generator takes twice as long
    """Turn whatever a parser raises over damaged bytes into a CorruptPayloadError that says ``what``."""

    __slots__ = ("_remedy", "_what")

    def __init__(self, what: str = "the payload is damaged", remedy: str = "") -> None:
        self._what = what
        self._remedy = remedy

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, (CodecError, MemoryError)):
            raise CorruptPayloadError(f"{self._what}: {described(error)}{self._remedy}") from error
