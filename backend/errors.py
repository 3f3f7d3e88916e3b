"""Errors between a row of the metadata database and its value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from airflow_xcom.codecs import CodecError, CorruptPayloadError, DecodeError

_QUOTED = 1000  # characters
_DIFFERENCES = 20  # of a schema that a message names
_HIDDEN = r"(//[^/@\s:\"']*:)[^\s\"']*(?=@)|([?&](?!ttl=)[^=&\s\"']+=)[^&\s\"']*"


class SelectionTooLargeError(CodecError):
    """More would have to be read than the Data tab reads at a time."""

    def __init__(self, what: str, size: int, most: int) -> None:
        super().__init__(
            f"{what} has {size:,} bytes, and the Data tab reads at most {most:,} of it; pull the value in a task, or "
            "save it with `airflow-xcom export`"
        )


class SettingsError(CodecError, ValueError):
    """An option of ``[xcom_codecs]``, or one of Airflow's that is about us, has a value that is not allowed.

    Attributes:
        option: its name.
        value: what it is set to, without the passwords that URLs may have.
    """

    def __init__(self, option: str, value: object, remedy: str, *, section: str = "xcom_codecs") -> None:
        value = _without_passwords(value)
        super().__init__(f"[{section}] {option} = {value!r}: {remedy}")
        self.option = option
        self.value = value


class HiddenValueError(CodecError):
    """A value must not be shown in Airflow's pages."""

    def __init__(self, dag_id: str, why: str = "") -> None:
        super().__init__(f"this value is hidden: {why or f'a tag xcom:hide of the Dag {dag_id} says so'}")


class HintError(CodecError, ValueError):
    """A hint to :func:`airflow_xcom.backend.stored` cannot be followed.

    Attributes:
        hint: its name.
        value: what was given.
    """

    def __init__(self, hint: str, value: object, remedy: str) -> None:
        super().__init__(f"stored(..., {hint}={value!r:.100}): {remedy}")
        self.hint = hint
        self.value = value


class SchemaError(CodecError, ValueError):
    """A contract of :func:`airflow_xcom.backend.publish` cannot be understood, or cannot be checked."""


class SchemaChangedError(SchemaError):
    """A value breaks the contract of its asset; neither a version nor an event of it is made.

    Attributes:
        asset: its name.
        differences: all of them, in words.
    """

    def __init__(self, asset: str, against: str, differences: Sequence[str]) -> None:
        shown = "".join(f"\n  {text}" for text in differences[:_DIFFERENCES])
        more = f"\n  and {len(differences) - _DIFFERENCES:,} more" if len(differences) > _DIFFERENCES else ""
        super().__init__(
            f"the asset {asset!r} has a contract, which this value breaks; nothing was published. Against {against}:"
            f"{shown}{more}\nCorrect the value; or, when all who read the asset are ready for it, publish it once "
            "without schema=: later versions are then compared with it"
        )
        self.asset = asset
        self.differences = list(differences)


class StoreError(CodecError, OSError):
    """A store cannot be reached, or refuses to read, write or delete.

    Attributes:
        store: its URL.
    """

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"the store {store} {reason}")
        self.store = store


class StoreUnreachableError(StoreError, ConnectionError):
    """A store does not answer, or only with errors of its own, until the time-out."""


class StoreDeniedError(StoreError, PermissionError):
    """A store rejects the credentials, or does not permit them this."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """The bucket, container or database of a store is not there."""


class OwnerError(CodecError, RuntimeError):
    """A store belongs to another Airflow, or to none, so that nothing in it may be deleted.

    Attributes:
        store: its URL.
    """

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(f"the store {store} {reason}")
        self.store = store


class SweepError(CodecError, RuntimeError):
    """A sweep cannot know what is referred to, and so deletes nothing more."""


class MissingPayloadError(DecodeError, LookupError):
    """A row refers to a blob that is gone.

    Attributes:
        store: the URL of the store.
        path: of the blob, below it.
    """

    def __init__(self, store: str, path: str, why: str = "") -> None:
        super().__init__(
            f"the payload {path!r} is gone from the store {store}: "
            + (why or "it was deleted, or the store was emptied; run the task that pushed it again")
        )
        self.store = store
        self.path = path


class OtherHostError(MissingPayloadError):
    """A blob was written to a folder of another host, which this host does not share.

    Attributes:
        host: where it was written.
    """

    def __init__(self, store: str, path: str, *, host: str, here: str) -> None:
        super().__init__(
            store,
            path,
            f"it was written on the host {host!r}, and this is {here!r}; set [xcom_codecs] path to a folder or an "
            "object store that all workers share",
        )
        self.host = host


class ExpiredPayloadError(MissingPayloadError):
    """A blob had a time to live, and has expired.

    Attributes:
        expired: when, as Unix time.
    """

    def __init__(self, store: str, path: str, expired: int) -> None:
        when = datetime.fromtimestamp(expired, UTC).isoformat()
        super().__init__(
            store,
            path,
            f"it expired at {when}; run the task that pushed it again, or raise the store's time to live (ttl)",
        )
        self.expired = expired


class RetiredPayloadError(DecodeError, LookupError):
    """A retention rule removed the value; the row says when, and which rule.

    Attributes:
        at: when, in ISO 8601, in UTC.
        rule: as its author wrote it.
    """

    def __init__(self, at: str, rule: str, task_id: str | None = None) -> None:
        task = "the task" if task_id is None else f"the task {task_id!r}"
        super().__init__(
            f"the value was retired at {at} by the rule {rule!r}; to have it again, clear {task} of this run, which "
            "pushed it, together with the tasks after it"
        )
        self.at = at
        self.rule = rule


class RetiredVersionError(RetiredPayloadError):
    """A policy retired a version of an asset."""

    def __init__(self, at: str, rule: str) -> None:
        DecodeError.__init__(
            self,
            f"this version of the asset was retired at {at} by the rule {rule!r}; read a newer one. To keep versions "
            "longer, raise [xcom_codecs] keep_published or give them a tag: airflow-xcom tag ASSET VERSION NAME",
        )
        self.at = at
        self.rule = rule


class TagError(CodecError, ValueError):
    """A version of an asset cannot be given a tag, or no version has it."""


class UnknownStoreError(DecodeError, LookupError):
    """A row refers to a store that is not configured here.

    Attributes:
        name: the store's name in the reference.
        url: its URL when the row was written.
    """

    def __init__(self, name: str, url: str) -> None:
        free = "former" if name == "default" else name  # which is that of path; a row's store is found by its URL
        super().__init__(
            f"the payload is in the store {name!r} ({url}), which is not configured here; "
            f'add it to [xcom_codecs] stores, as {{"{free}": "{url}"}}'
        )
        self.name = name
        self.url = url


class ForgedReferenceError(CorruptPayloadError):
    """A row's reference is not one that this backend writes: it leaves the store, or is malformed."""


class ForeignReferenceError(DecodeError):
    """A row holds a value, or refers to a blob, that was written for another XCom.

    Attributes:
        asked: the XCom whose row it is, as far as Airflow tells.
        origin: the XCom that the value was written for, or the path of the blob.
    """

    _words = (
        "the row of the XCom {} holds what was written for another, {!r}, as if somebody had copied it by hand; run "
        "the task that pushes it, or copy the value with `airflow-xcom copy`"
    )

    def __init__(self, asked: str, origin: str) -> None:
        self.asked = asked[:_QUOTED]
        self.origin = origin[:_QUOTED]
        super().__init__(self._words.format(self.asked, self.origin))


class PublishError(CodecError, ValueError):
    """A value cannot be published to an asset, or its event would not tell of it."""


class NoVersionError(DecodeError, LookupError):
    """An asset has no value, or the event that started a run has none."""


class PartitionError(DecodeError, LookupError):
    """An asset has partitions, and it is not known which of them is wanted."""


class LostPinError(DecodeError, LookupError):
    """What a run read of an asset cannot be told any more, and nothing newer is given in its place."""


class ForeignStateError(ForeignReferenceError):
    """A row of the state store holds a value, or refers to a blob, that was written for something else.

    Attributes:
        asked: whose state it is, as far as Airflow tells.
        origin: what the value was written for, or the path of the blob.
    """

    _words = (
        "the {} holds what was written for something else, {!r}, as if somebody had copied it by hand; set the key "
        "again in a task, or delete it"
    )


class XComNotFoundError(CodecError, LookupError):
    """A command was pointed at no XCom, or at several."""


class ExportError(CodecError, ValueError):
    """A file format cannot hold a value exactly, or the file cannot be written.

    Attributes:
        format: of the file.
    """

    def __init__(self, format: str, reason: str) -> None:  # noqa: A002 - the option's name
        super().__init__(reason)
        self.format = format


def _without_passwords(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_passwords(item) for name, item in value.items()}
    return re.sub(_HIDDEN, r"\1\2***", value) if isinstance(value, str) else value
