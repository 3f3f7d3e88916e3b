"""Which runs keep their values: the rules, as tags and options say them.  Nothing here acts.

A rule is made of terms: an age, a number of runs, or for ever.  A run keeps its values as long as any term keeps them,
so that adding a term never takes a value away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.settings import parsed_option, text_of

STATES = ("success", "failed")  # of runs that have ended; no other run is ever touched
TAG_PREFIX = "xcom:"
HIDE_TAG = "xcom:hide"  # of the Data tab, alone or with a pattern of task ids behind "="; says nothing of retention

_TERM = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>s|m|h|d|w|runs?|versions?)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_FOREVER = "forever"
_TAG = re.compile(rf"keep(?:-(?P<state>{'|'.join(STATES)}))?=(?P<term>.*)")


class RetentionTagError(ValueError):
    """A tag begins as ours do, and is not understood; guessing would lose values."""


@dataclass(frozen=True, slots=True)
class Term:
    """How long values are kept.

    Attributes:
        text: as it was written.
        seconds: since the run ended and the value was written.
        newest: so many runs, by when they ended, keep theirs; or so many versions of an asset are kept.
    """

    text: str
    seconds: int | None = None
    newest: int | None = None

    @classmethod
    def parse(cls, text: str, counted: str = "runs") -> Term:
        """Parse a term, of runs or of versions; raise a ValueError that says what to write instead."""
        if text == _FOREVER:
            return cls(text)
        match = _TERM.fullmatch(text)
        if match is None or match["unit"] not in {*_SECONDS, counted, counted.removesuffix("s")}:
            raise ValueError(
                f"{text!r} is no time to keep values: give forever, an age such as 12h, 7d or 4w, or a number as "
                f"5{counted}"
            )
        count, unit = int(match["count"]), match["unit"]
        if unit in _SECONDS:
            return cls(text, seconds=count * _SECONDS[unit])
        return cls(text, newest=count)

    def keeps(self, age: float, newer: int) -> bool:
        """Return whether it keeps what is ``age`` seconds old, and after which ``newer`` others of its kind came."""
        if self.seconds is not None:
            return age < self.seconds
        return self.newest is None or newer < self.newest


@dataclass(frozen=True, slots=True)
class Rule:
    """The terms for the runs of a Dag in one state.

    Attributes:
        text: what people wrote, and where.
        terms: any of which keeps a value.
        state: the only one that its numbers of runs count, or ``""`` for all.
    """

    text: str
    terms: tuple[Term, ...]
    state: str

    @property
    def is_forever(self) -> bool:
        """Return whether it keeps everything."""
        return any(term.keeps(float("inf"), 1 << 62) for term in self.terms)

    def keeps(self, age: float, newer: Mapping[str, int]) -> bool:
        """Return whether it keeps a run; ``newer`` counts the runs that ended later by state, and under ``""`` all."""
        return any(term.keeps(age, newer.get(self.state, 0)) for term in self.terms)


@dataclass(frozen=True)
class Policy:
    """The rule for each state of a Dag's runs."""

    rules: Mapping[str, Rule] = field(default_factory=dict)

    @classmethod
    def of(cls, tags: Iterable[str], options: Mapping[str, tuple[Term, ...]]) -> Policy:
        """Return the policy of a Dag with these tags, under these options.

        The first of these that says something holds for a state: the tags ``xcom:keep-STATE=…``, the tags
        ``xcom:keep=…``, the option ``keep_STATE``, the option ``keep``.

        Raises:
            RetentionTagError: A tag is not understood.
        """
        tagged: dict[str, list[Term]] = {}
        for tag in sorted(tag for tag in tags if tag.startswith(TAG_PREFIX) and tag.partition("=")[0] != HIDE_TAG):
            state, term = _read_tag(tag)
            tagged.setdefault(state, []).append(term)
        return cls({state: _rule(state, tagged, options) for state in STATES})

    @property
    def is_forever(self) -> bool:
        """Return whether every value is kept."""
        return all(rule.is_forever for rule in self.rules.values())

    def __str__(self) -> str:
        texts = {state: rule.text for state, rule in self.rules.items()}
        if len(set(texts.values())) == 1:
            return texts[STATES[0]]
        return "; ".join(f"{state}: {text}" for state, text in texts.items())


def _read_tag(tag: str) -> tuple[str, Term]:
    match = _TAG.fullmatch(tag.removeprefix(TAG_PREFIX))
    if match is None:
        raise RetentionTagError(f"the tag {tag!r} is not understood: write xcom:keep=7d, or xcom:keep-failed=7d")
    try:
        return match["state"] or "", Term.parse(match["term"])
    except ValueError as error:
        raise RetentionTagError(f"the tag {tag!r} is not understood: {error}") from error


def _rule(state: str, tagged: Mapping[str, list[Term]], options: Mapping[str, tuple[Term, ...]]) -> Rule:
    for scope in (state, ""):
        if scope in tagged:
            name = f"{TAG_PREFIX}keep-{scope}" if scope else f"{TAG_PREFIX}keep"
            return Rule(", ".join(f"{name}={term.text}" for term in tagged[scope]), tuple(tagged[scope]), scope)
    scope = state if state in options else ""
    option = f"keep_{scope}" if scope else "keep"
    text = ", ".join(term.text for term in options[scope])
    return Rule(f"[xcom_codecs] {option} = {text}", options[scope], scope)


# -- the options; each function raises SettingsError for one whose value is not allowed ------------------------


def keep() -> dict[str, tuple[Term, ...]]:
    """Return how long the values of runs are kept, by their state; without one, as under ``""``."""
    return {"": _terms("keep")} | {state: _terms(f"keep_{state}") for state in STATES if text_of(f"keep_{state}")}


def keep_published() -> tuple[Term, ...]:
    """Return how long versions of assets are kept, of which nothing else says so."""
    return _terms("keep_published", "versions")


def sweep_after_run() -> int | None:
    """Return after how many seconds the sweep that follows a run begins; None for no such sweep."""
    text = text_of("sweep_after_run")
    try:
        seconds = Term.parse(text).seconds if text else None
    except ValueError:
        seconds = None
    if text and seconds is None:
        raise SettingsError("sweep_after_run", text, "give an age such as 1d, or nothing")
    return seconds


def _terms(option: str, counted: str = "runs") -> tuple[Term, ...]:
    return parsed_option(option, lambda text: tuple(Term.parse(part.strip(), counted) for part in text.split(",")))
