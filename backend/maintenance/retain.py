"""Retiring values that need not be kept any more: rows and blobs together."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.envelope import Coordinate, Envelope, Retirement, path_prefix
from airflow_xcom.backend.retention_policy import Policy, RetentionTagError
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import CodecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_xcom.backend.database.dag_runs import Run, Runs, Value
    from airflow_xcom.backend.envelope import Reference

__all__ = ["Retained", "retain"]

_PROBLEMS = 10  # of a Dag that the report says in words
_KEPT_FACTS = ("type", "bytes")  # of a summary; what else it says may be a part of the value


@dataclass
class Retained:
    """What has become of the values of one Dag so far, or would.

    Attributes:
        dag_id: which.
        rule: that holds for it.
        runs: that have ended, with all of their tasks; no other is looked at.
        going: those of them whose values are not all kept.
        due: their values that the policy does not keep.
        in_blobs: bytes of their blobs.
        in_rows: bytes of their rows.
        oldest: when the first of the runs that are going ended.
        retired: values that are gone now.
        changed: values that were kept, because they or their run changed meanwhile.
        failed: values that were kept because their row or their store cannot be read, and blobs that stay.
        problems: what went wrong, in words, the first ones.
    """

    dag_id: str
    rule: str = ""
    runs: int = 0
    going: int = 0
    due: int = 0
    in_blobs: int = 0
    in_rows: int = 0
    oldest: datetime | None = None
    retired: int = 0
    changed: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)

    def fail(self, problem: str) -> None:
        """Count something that went wrong, and keep it for the report."""
        self.failed += 1
        if len(self.problems) < _PROBLEMS:
            self.problems.append(problem)


def retain(
    runs: Runs,
    dag_ids: Iterable[str] | None = None,
    *,
    apply: bool = False,
    newest_only: bool = False,
    progress: Callable[[Retained], None] = lambda _: None,
) -> Iterator[Retained]:
    """Retire the values of each Dag that its policy does not keep, and tell what became of each Dag.

    One UPDATE puts a tombstone in the place of a row if that still is what it was, and its run neither began nor ended
    again; then the blob is deleted.  So no row ever refers to a blob that this deleted, and stopping at any moment
    leaves at most blobs without a row, for a sweep to find.

    Args:
        runs: of the metadata database.
        dag_ids: of these Dags; None for all that have runs.
        apply: do it; only count otherwise.
        newest_only: leave a Dag where a page of its runs has nothing left to retire: those before it have been seen to.
        progress: is called with what has been done for a Dag, after every page of it.
    """
    lost: set[str] = set()  # names of stores that cannot be reached
    for dag_id in runs.dags() if dag_ids is None else dag_ids:
        done = Retained(dag_id)
        try:
            policy = Policy.of(runs.tags(dag_id), settings().keep)
        except RetentionTagError as error:
            done.rule = "kept: a tag is not understood"
            done.fail(f"dag={dag_id}: all values are kept, for {error}")
        else:
            done.rule = str(policy)
            _Retirement(runs, policy, done, lost, apply=apply).go(progress, newest_only=newest_only)
        yield done


class _Retirement:
    """That of one Dag's values."""

    def __init__(self, runs: Runs, policy: Policy, done: Retained, lost: set[str], *, apply: bool) -> None:
        self._runs = runs
        self._policy = policy
        self._done = done
        self._lost = lost
        self._apply = apply
        self._now = datetime.now(UTC)
        self._newer: Counter[str] = Counter()  # by state, and all under ""

    def go(self, progress: Callable[[Retained], None], *, newest_only: bool) -> None:
        if self._policy.is_forever:
            return
        for page in self._runs.settled(self._done.dag_id):
            going = self._going(page)
            before = self._done.due
            self._retire_page(list(going), going, progress)
            if newest_only and going and self._done.due == before:
                return

    def _going(self, page: Sequence[Run]) -> dict[Run, Counter[str]]:
        """The runs of a page that do not keep their values, each with the runs that ended after it."""
        going = {}
        for run in page:
            self._done.runs += 1
            if not self._policy.rules[run.state].keeps(run.age(self._now), self._newer):
                going[run] = self._newer.copy()
            self._newer.update([run.state, ""])
        return going

    def _retire_page(
        self, runs: Sequence[Run], newer: dict[Run, Counter[str]], progress: Callable[[Retained], None]
    ) -> None:
        seen: set[int] = set()
        for run, values in self._runs.values(runs):
            changes = [found for value in values if (found := self._tombstone(value, newer[run])) is not None]
            if changes and run.id not in seen:
                seen.add(run.id)
                self._done.going += 1
                self._done.oldest = run.end if self._done.oldest is None else min(run.end, self._done.oldest)
            for value, _, reference in changes:
                self._done.due += 1
                self._done.in_rows += len(value.text)
                self._done.in_blobs += 0 if reference is None else reference.size
            if self._apply and changes:
                self._retire(run, changes)
            progress(self._done)

    def _tombstone(self, value: Value, newer: Counter[str]) -> tuple[Value, Envelope, Reference | None] | None:
        """What is to stand in the place of a value, and its blob; None if it stays."""
        rule = self._policy.rules[value.run.state]
        written = value.run.end if value.written is None else max(value.written, value.run.end)
        if value.is_reserved or rule.keeps((self._now - written).total_seconds(), newer):
            return None
        try:
            stored = json.loads(value.text)
            envelope = Envelope.from_json(stored)
            if envelope is None:
                plain = value.may_be_plain and settings().legacy_backend is None
                envelope = _plain(value, stored) if plain else None
            elif envelope.reference is not None:
                self._check_store(envelope.reference)
        except (ValueError, CodecError) as error:
            self._done.fail(f"{value.coordinate}: the value is kept, for {error}")
            return None
        if envelope is None or envelope.retired is not None:
            return None
        at = self._now.isoformat(timespec="seconds")
        facts = {name: envelope.summary[name] for name in _KEPT_FACTS if name in envelope.summary}
        left = Envelope(envelope.tag, facts, value.coordinate, retired=Retirement(at, rule.text))
        return value, left, envelope.reference

    def _check_store(self, reference: Reference) -> None:
        """That the blob can be deleted once the row does not refer to it."""
        from airflow_xcom.backend.blobs import store_name

        name = store_name(reference)
        if name in self._lost:
            msg = f"the store {name!r} cannot be reached"
            raise ValueError(msg)

    def _retire(self, run: Run, changes: Sequence[tuple[Value, Envelope, Reference | None]]) -> None:
        """First the rows, then the blobs that nothing refers to from then on."""
        replaced = self._runs.replace(run, [(value, envelope) for value, envelope, _ in changes])
        for (value, _, reference), is_replaced in zip(changes, replaced, strict=True):
            if not is_replaced:
                self._done.changed += 1
                continue
            self._done.retired += 1
            if reference is not None:
                self._delete(reference, value.coordinate)

    def _delete(self, reference: Reference, coordinate: Coordinate) -> None:
        from airflow_xcom.backend.blobs import delete_blob, store_name

        if not reference.path.startswith(path_prefix(coordinate)):  # somebody copied the row of another XCom
            self._done.fail(f"{coordinate}: the blob {reference.path!r} is another XCom's, and is left to a sweep")
            return
        try:
            delete_blob(reference)
        except CodecError as error:
            self._lost.add(store_name(reference))
            self._done.fail(f"{coordinate}: the blob is left to a sweep, for {error}")


def _plain(value: Value, stored: Any) -> Envelope:
    """The envelope that a plain value has not."""
    name = type(stored).__name__
    return Envelope(name, {"type": name, "bytes": len(value.text)}, value.coordinate, data=stored)
