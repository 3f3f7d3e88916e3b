"""A codec: how one family of types becomes a node and comes back."""

from __future__ import annotations

import inspect
import keyword
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol

from airflow_xcom.codecs.errors import EncodeError, RegistrationError, UnsupportedTypeError
from airflow_xcom.codecs.nodes import Columns, PackCells, WithCells
from airflow_xcom.codecs.object_state import refuse_other_attributes
from airflow_xcom.codecs.quoting import class_name

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)  # so that ``Codec`` alone is a codec of anything

else:
    from typing import TypeVar

    T = TypeVar("T")

_TAG = r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)+"


class CodecClass(Protocol[T]):
    """What :func:`codec` makes a codec from; a type checker compares a class that derives from ``CodecClass[T]``."""

    @abstractmethod
    def encode(self, value: T, /) -> Any:
        """Return the node of a value.

        Raises:
            UnsupportedValueError: ``decode`` could not rebuild this value exactly.
        """

    @abstractmethod
    def decode(self, node: Any, version: int, /) -> T:
        """Return the value of a node that ``encode`` returned, in this version or an older one."""


class Codec(Generic[T]):
    """How one family of types becomes a node and comes back.

    Attributes:
        tag: the name written in payloads, for ever: ``"decimal"``, ``"numpy.ndarray"``, ``"acme.point"``.
        types: the classes handled, or their lazy names (``"package.module.Class"``), which import nothing.
        encode: ``encode(value) -> node``.  Raises ``UnsupportedValueError`` for a value that ``decode`` could not
            rebuild.
        decode: ``decode(node, version) -> value``; reads every version up to ``version``.
        version: what ``encode`` writes, from 1.
        subclasses: whether ``encode`` and ``decode`` keep the exact class of subclasses too; without it, a
            subclass is refused rather than returned as its base.
        matches: a further test on a class, tried after exact types and base classes.
        summarize: a few JSON facts for people (shape, dtypes, first rows); must be cheap.
        render: ``render(value)`` returns what people see in place of the value: a text, a table, or dicts and lists of
            these, all of types that the shipped codecs take; None for the value itself.
        attributes: the names that an object may have in its ``__dict__``, in which ``"_"`` stands for those that
            begin so and that the code of its class sets; an object with another one, which somebody set, is refused.
            None leaves them all to ``encode``.
        cost: ``cost(node)`` returns a key, and for how many nodes a value counts that takes far longer to make than its
            node is long; values of one key are made once. None for values that do not.
    """

    def __init__(  # noqa: PLR0913 - a codec's whole description
        self,
        tag: str,
        types: Sequence[type[T] | str],
        encode: Callable[[T], Any],
        decode: Callable[[Any, int], T],
        *,
        version: int = 1,
        subclasses: bool = False,
        matches: Callable[[type], bool] | None = None,
        summarize: Callable[[T], dict[str, Any]] = lambda _value: {},
        render: Callable[[T], Any] | None = None,
        attributes: Collection[str] | None = None,
        cost: Callable[[Any], tuple[Hashable, int]] | None = None,
    ) -> None:
        self.tag = tag
        self.types = types
        self.encode = encode
        self.decode = decode
        self.version = version
        self.subclasses = subclasses
        self.matches = matches
        self.summarize = summarize
        self.render = render
        self.attributes = attributes
        self.cost = cost

    def __repr__(self) -> str:
        return f"<Codec {self.tag!r}, version {self.version}>"


class ColumnCodec(Codec[T]):
    """A codec that also takes many objects of one class at once, which saves what is the same for all of them.

    Attributes:
        take: ``take(cls, objects)`` returns the nodes that ``encode`` would; None where it must be asked for each.
        put: ``put(columns, version)`` returns the values that ``decode`` would; None where it must be asked for each.
    """

    def __init__(
        self,
        *description: Any,
        take: Callable[[type, list[T]], Columns | None],
        put: Callable[[Columns, int], list[T] | None],
        **more: Any,
    ) -> None:
        super().__init__(*description, **more)
        self.take = take
        self.put = put


def check_form(codec: Any) -> None:
    """Raise RegistrationError for what can be told of a codec by itself, before a value meets it."""
    if not isinstance(codec, Codec):
        raise RegistrationError(f"{codec!r} is not a Codec; pass airflow_xcom.codecs.Codec(tag, types, encode, decode)")
    if not re.fullmatch(_TAG, codec.tag):
        raise RegistrationError(
            f"{codec.tag!r} is not a tag for a codec of your own: give it a namespace, such as 'acme.point' "
            "(letters, digits, '_' and '-', with at least one dot)"
        )
    if not isinstance(codec.version, int) or codec.version < 1:
        raise RegistrationError(f"the version of {codec.tag!r} is {codec.version!r}; it must be a whole number from 1")
    _check_types(codec)
    _check_parameters(codec)


def _check_types(codec: Codec[Any]) -> None:
    if not isinstance(codec.types, tuple | list):
        msg = f"the types of {codec.tag!r} are {codec.types!r}; pass a tuple of classes or lazy names"
        raise RegistrationError(msg)
    for handled in codec.types:
        if not isinstance(handled, type) and not _is_lazy_name(handled):
            raise RegistrationError(
                f"{codec.tag!r} cannot handle {handled!r}, which is neither a class nor its lazy name; write the "
                "module that defines the class, a dot and the class, such as 'pandas.core.frame.DataFrame': its "
                "__module__ and __qualname__"
            )


def _is_lazy_name(name: Any) -> bool:
    parts = name.split(".") if isinstance(name, str) else ()
    return len(parts) > 1 and all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)


def _check_parameters(codec: Codec[Any]) -> None:
    for name, wanted in (("encode", ("value",)), ("decode", ("node", "version")), ("summarize", ("value",))):
        check_call(codec.tag, getattr(codec, name), wanted)
    for name, wanted in (("matches", ("cls",)), ("render", ("value",)), ("cost", ("node",))):
        if getattr(codec, name) is not None:
            check_call(codec.tag, getattr(codec, name), wanted)


def check_call(tag: str, function: Any, wanted: tuple[str, ...], *, first: str = "self") -> None:
    """Raise RegistrationError unless a codec can call a function with the arguments ``wanted``.

    ``first`` is what the first parameter of a method is called.
    """
    try:
        inspect.signature(function).bind(*wanted)
    except ValueError:  # some functions written in C tell nothing of their parameters
        return
    except TypeError as error:
        called = getattr(function, "__qualname__", repr(function))
        shown = ", ".join((first, *wanted) if inspect.ismethod(function) else wanted)
        raise RegistrationError(
            f"the codec {tag!r} cannot call {called} with ({', '.join(wanted)}): {error}; declare its parameters as "
            f"({shown})"
        ) from error


def node_of(codec: Codec[Any], value: Any) -> Any:
    """Return the node that a codec makes of a value."""
    try:
        if codec.attributes is not None and type(value).__dictoffset__:
            refuse_other_attributes(value, codec.attributes)
        return codec.encode(value)
    except Exception as error:  # noqa: BLE001 - raised again, with where and why
        raise_failure(codec, value, error)


def completed(codec: Codec[Any], value: Any, node: WithCells, pack: PackCells) -> Any:
    """Return the node that a codec made of a value once ``pack`` has packed the objects in it."""
    try:
        return node.make(pack)
    except Exception as error:  # noqa: BLE001 - raised again, with where and why
        raise_failure(codec, value, error)


def raise_failure(codec: Codec[Any], value: Any, error: Exception) -> NoReturn:
    """Raise what a codec raised for a value as an error that leads there."""
    if isinstance(error, (MemoryError, RecursionError)):
        raise error
    if isinstance(error, EncodeError):
        error.trail.append(value)
        raise error
    failure = EncodeError(f"the codec {codec.tag!r} failed to encode it: {type(error).__name__}: {error}")
    failure.trail.append(value)
    raise failure from error


def unsupported(value: Any) -> UnsupportedTypeError:
    """Return the error for a value that no codec handles."""
    error = UnsupportedTypeError(f"no codec handles {class_name(type(value))}")
    error.lacks_advice = True
    error.trail.append(value)
    return error
