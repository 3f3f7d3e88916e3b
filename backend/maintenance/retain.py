"""Retire values that need not be kept any more: a tombstone takes the place of the row, and a sweep takes the blob."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow_xcom.backend.blobs import store_name
from airflow_xcom.backend.database.dag_runs import Run, Runs, is_large_result
from airflow_xcom.backend.database.tables import agreed_time
from airflow_xcom.backend.database.xcom_rows import XComRow
from airflow_xcom.backend.envelope import Envelope, Retirement
from airflow_xcom.backend.retention_policy import Policy, RetentionTagError, keep
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import CodecError

_PROBLEMS = 10  # of a Dag or an asset that the report says in words
_KEPT_FACTS = ("type", "bytes")  # of a summary; what else it says may be a part of the value


@dataclass
class Outcome:
    """What has become of the values that a rule holds for, so far, or would.

    Attributes:
        rule: as its author wrote it.
        due: values that it does not keep.
        retired: values that are gone now.
        failed: values that were kept because they cannot be read or their store is not configured, and tags or extras
            that are not understood.
        problems: what went wrong, in words, the first ones.
    """

    rule: str = ""
    due: int = 0
    retired: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)

    def fail(self, problem: str) -> None:
        """Count something that went wrong, and keep it for the report."""
        self.failed += 1
        if len(self.problems) < _PROBLEMS:
            self.problems.append(problem)


@dataclass
class Retained(Outcome):
    """What has become of the values of one Dag.

    Attributes:
        dag_id: which.
        runs: that have ended, with all of their tasks; no other is looked at.
        going: those of them whose values are not all kept.
        in_blobs: bytes of the blobs of values that are due, which a sweep deletes.
        in_rows: bytes of their rows.
        oldest: when the first of the runs that are going ended.
        changed: values that were kept, because they or their run changed meanwhile.
    """

    dag_id: str = ""
    runs: int = 0
    going: int = 0
    in_blobs: int = 0
    in_rows: int = 0
    oldest: datetime | None = None
    changed: int = 0


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
    again.  Nothing is deleted: a sweep finds the blobs that no row refers to any more.  With ``newest_only`` a Dag is
    left where a page of its runs has nothing left to retire: those before it have been seen to.
    """
    for dag_id in runs.dags() if dag_ids is None else dag_ids:
        done = Retained(dag_id=dag_id)
        try:
            policy = Policy.of(runs.tags(dag_id), keep())
        except RetentionTagError as error:
            done.rule = "kept: a tag is not understood"
            done.fail(f"dag={dag_id}: all values are kept, for {error}")
        else:
            done.rule = str(policy)
            _Retirement(runs, policy, done, apply=apply).go(progress, newest_only=newest_only)
        yield done


class _Retirement:
    """That of one Dag's values."""

    def __init__(self, runs: Runs, policy: Policy, done: Retained, *, apply: bool) -> None:
        self._runs = runs
        self._policy = policy
        self._done = done
        self._apply = apply
        self._now = agreed_time(runs.database[0])
        self._newer: Counter[str] = Counter()  # by state, and all under ""

    def go(self, progress: Callable[[Retained], None], *, newest_only: bool) -> None:
        if self._policy.is_forever:
            return
        for page in self._runs.settled(self._done.dag_id):
            expired = self._expired(page)
            before = self._done.due
            self._retire_page(list(expired), expired, progress)
            if newest_only and expired and self._done.due == before:
                return

    def _expired(self, page: Sequence[Run]) -> dict[Run, Counter[str]]:
        """Return the runs of a page that do not keep their values, each with the counts of later ones by state."""
        expired = {}
        for run in page:
            self._done.runs += 1
            if not self._policy.rules[run.state].keeps(run.age(self._now), self._newer):
                expired[run] = self._newer.copy()
            self._newer.update([run.state, ""])
        return expired

    def _retire_page(
        self, runs: Sequence[Run], newer: dict[Run, Counter[str]], progress: Callable[[Retained], None]
    ) -> None:
        seen: set[int] = set()
        for run, rows in self._runs.values(runs):
            changes = [change for row in rows if (change := self._tombstone(run, row, newer[run])) is not None]
            if changes and run.id not in seen:
                seen.add(run.id)
                self._done.going += 1
                self._done.oldest = run.end if self._done.oldest is None else min(run.end, self._done.oldest)
            for row, _ in changes:
                self._done.due += 1
                self._done.in_rows += len(row.text)
                self._done.in_blobs += row.blob_size
            if self._apply and changes:
                replaced = sum(self._runs.replace(run, changes))
                self._done.retired += replaced
                self._done.changed += len(changes) - replaced
            progress(self._done)

    def _tombstone(self, run: Run, row: XComRow, newer: Counter[str]) -> tuple[XComRow, Envelope] | None:
        """Return what is to stand in the place of a row's value; None if that stays."""
        rule = self._policy.rules[run.state]
        written = run.end if row.written is None else max(row.written, run.end)
        if _is_airflows(row) or rule.keeps((self._now - written).total_seconds(), newer):
            return None
        try:
            envelope = self._retirable(row)
        except CodecError as error:
            self._done.fail(f"{row.coordinate}: the value is kept, for {error}")
            return None
        if envelope is None or envelope.retired is not None:
            return None
        at = self._now.isoformat(timespec="seconds")
        facts = {name: envelope.summary[name] for name in _KEPT_FACTS if name in envelope.summary}
        return row, Envelope(envelope.tag, facts, row.coordinate, retired=Retirement(at, rule.text))

    def _retirable(self, row: XComRow) -> Envelope | None:
        """Return the envelope of a row's value; None if the value is not ours to retire."""
        if row.error is not None:
            raise row.error
        if row.envelope is None:
            if not is_large_result(row) or settings().legacy_backend is not None:
                return None
            name = type(row.stored).__name__
            return Envelope(name, {"type": name, "bytes": len(row.text)}, row.coordinate, data=row.stored)
        for reference in row.references:
            store_name(reference)
        return row.envelope


def _is_airflows(row: XComRow) -> bool:
    """Return whether Airflow itself reads a row: what a branch decided, and the links of operators."""
    key = row.columns.key or ""
    return key == "skipmixin_key" or key.startswith("_link_")
