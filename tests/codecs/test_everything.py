"""Whatever a task returns, in whatever it returns it: exact in every syntax, and the same bytes every time."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgpack
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import strategies
import xarray as xr
from hypothesis import strategies as st

from airflow_xcom.codecs import decode, encode, registry
from airflow_xcom.codecs.bodies import json_of
from airflow_xcom.codecs.discovery import HOMES
from airflow_xcom.codecs.formats.msgpack.container import read_blob, read_header
from airflow_xcom.codecs.formats.msgpack.extension_types import INLINE_BUFFER, SAME
from airflow_xcom.codecs.payload import Payload, decode_json
from airflow_xcom.codecs.testing import difference, through_jsonb

SHARDS = range(5)  # which the processes of the tests share out
# Some examples that are new in each run, and many that are the same in each.
SEEDS = pytest.mark.parametrize("fixed", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["random", "fixed"])
TAGS = sorted(strategies.TAGS - strategies.ONCE.keys())
APART = "XCOM_TESTS_APART"  # in the environment of a process that runs one test


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[None]:
    before = registry._allows
    registry.allow_classes(strategies.is_allowed)
    yield
    registry.allow_classes(before)


def for_all(
    values: st.SearchStrategy[Any], *, examples: int, seed: int | str | None
) -> Callable[[Callable[[Any], None]], None]:
    """Call the decorated function with examples: those of a seed, or of the seed of the run."""

    def run(function: Callable[[Any], None]) -> None:
        def test(value: Any) -> None:
            function(value)

        test = hypothesis.given(values)(test)
        test = hypothesis.settings(max_examples=examples, deadline=None)(test)
        (test if seed is None else hypothesis.seed(seed)(test))()

    return run


def many(*, fixed: bool) -> int:
    """The examples of a shard."""
    return (2500 if fixed else 250) // len(SHARDS)


def few(*, fixed: bool) -> int:
    """The examples of one of many tags."""
    return 20 if fixed else 5


def apart(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with a fixed seed in a process of its own: its examples depend on the modules that are loaded, too."""

    @functools.wraps(test)
    def run(**parameters: Any) -> None:
        if not parameters.get("fixed", True) or APART in os.environ:
            test(**parameters)
            return
        name = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0].partition("::")[2]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{__file__}::{name}"]
        environment = {**os.environ, APART: "", "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode()

    return run


# -- there and back ------------------------------------------------------------------------------------------


def check(value: Any) -> None:
    """See to it that a value comes back from every syntax, and that it is always written alike."""
    payload = encode(value)
    blob = payload.to_bytes()
    _same(value, decode(blob, payload.format), blob)
    row = payload.to_json()
    _same(value, decode_json(through_jsonb(row)), blob)
    if payload.format == "msgpack" and row["$"][0] != "blob":
        assert row == json_of(value, registry)[0], "the two ways into JSON differ"
    assert encode(value).to_bytes() == blob, "written otherwise the second time"
    if payload.format == "arrow":  # a table by itself; within something it is a part of a MessagePack body
        wrapped = encode([value])
        _same([value], decode(wrapped.to_bytes(), wrapped.format), wrapped.to_bytes())


def _same(value: Any, back: Any, blob: bytes) -> None:
    found = difference(value, back)
    assert found is None, found
    again = encode(back)
    if again.to_bytes() != blob:  # xarray copies some objects that stand in several places, and makes one of others
        may = any(SAME in codes(payload) for payload in (encode(value), again)) or b"xarray." in blob
        assert may, "what came back is written otherwise"


def codes(payload: Payload) -> set[int]:
    """Return the extension types in the tree of a payload."""
    found: set[int] = set()

    def unpack(code: int, data: bytes) -> None:
        found.add(code)
        if code != INLINE_BUFFER:
            msgpack.unpackb(data, ext_hook=unpack, strict_map_key=False)

    if payload.format == "msgpack":
        memory = memoryview(bytearray(payload.to_bytes()))
        _, tree, _ = read_blob(memory, *read_header(memory))
        msgpack.unpackb(tree, ext_hook=unpack, strict_map_key=False)
    return found


@pytest.mark.parametrize("shard", SHARDS)
@SEEDS
@apart
def test_any_value_comes_back_from_every_syntax(fixed: bool, shard: int, pytestconfig: pytest.Config) -> None:
    seed = shard if fixed else f"{pytestconfig.option.hypothesis_seed} {shard}"
    for_all(strategies.values(), examples=many(fixed=fixed), seed=seed)(check)


@pytest.mark.parametrize("first", range(0, len(TAGS), 20))
@SEEDS
@apart
def test_any_value_of_a_tag_comes_back(fixed: bool, first: int) -> None:
    for tag in TAGS[first : first + 20]:

        @for_all(strategies.of_tag(tag), examples=few(fixed=fixed), seed=0 if fixed else None)
        def _check(value: Any, tag: str = tag) -> None:
            assert encode(value).tag == tag
            check(value)


@SEEDS
@apart
def test_any_reader_comes_back(fixed: bool) -> None:
    @for_all(strategies.READERS, examples=few(fixed=fixed), seed=0 if fixed else None)
    def _check(reader: Any) -> None:
        table = reader.read_all()
        payload = encode(table.to_reader())
        back = [decode(payload.to_bytes(), payload.format), decode_json(through_jsonb(payload.to_json()))]
        for found in back:
            assert difference(table.to_reader(), found) is None
        assert encode(table.to_reader()).to_bytes() == payload.to_bytes()


# -- that these are all values, and many ---------------------------------------------------------------------


def test_every_tag_has_a_strategy() -> None:
    roots = {codec.tag: codec.tag.partition(".")[0] for codec in registry}
    ours = {tag for tag, root in roots.items() if root == tag or root in HOMES}
    assert ours == set(strategies.TAGS)


@pytest.mark.slow
def test_values_are_nested_six_deep() -> None:
    nested = hypothesis.settings(max_examples=5000, phases=[hypothesis.Phase.generate], deadline=None)
    depths = strategies.values().map(_depth)  # SciPy cannot print a result in which a dict has keys that are no text
    hypothesis.find(depths, lambda depth: depth >= strategies.DEPTH, settings=nested)


def _depth(value: Any) -> int:
    """How many values are around the innermost one."""
    return max((1 + _depth(part) for part in _parts(value)), default=0)


def _parts(value: Any) -> list[Any]:  # noqa: PLR0911 - one for each type
    """Return what a value holds; by its exact type, for a sparse dictionary of SciPy is a dict, too."""
    if type(value) in (dict, OrderedDict, defaultdict):
        return [*value, *value.values()]
    if type(value) in (list, tuple, set, frozenset, deque, strategies.Point):
        return list(value)
    if type(value) is np.ndarray and value.dtype == object:
        return value.ravel().tolist()
    if isinstance(value, pd.DataFrame | pd.Series):  # their own iteration copies attrs, which need not be possible
        return [cell for block in value._mgr.blocks for cell in _parts(block.values)]
    if isinstance(value, strategies.Leg | strategies.Flight | strategies.Seat):
        return list(vars(value).values())
    if isinstance(value, xr.Variable | xr.DataArray | xr.Dataset):
        return [*value.attrs.values(), *value.encoding.values()]
    return []


def test_a_value_is_walked_and_compared_that_cannot_be_copied() -> None:
    sparse = scipy.sparse.dok_array((3,), dtype=np.int8)
    sparse._dict[0] = 256  # neither iterating over it nor copying it works
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"k": sparse}
    assert _depth([frame, sparse]) == 1
    check([frame, sparse])


@pytest.mark.slow
@apart
def test_shards_try_other_values() -> None:
    seen = [blob for shard in SHARDS for blob in blobs(shard, examples=20)]
    assert len(set(seen)) > 0.6 * len(seen)  # each has some of the simplest


def blobs(seed: int, examples: int) -> list[bytes]:
    """What values of a seed are written as."""
    made = []
    for_all(strategies.values(), examples=examples, seed=seed)(lambda value: made.append(encode(value).to_bytes()))
    return made


# -- other processes -----------------------------------------------------------------------------------------

AGAIN = """
import hashlib
import sys
import strategies
from airflow_xcom.codecs import decode, encode, registry

registry.allow_classes(strategies.is_allowed)
while head := sys.stdin.buffer.readline():
    format, size = head.split()
    blob = sys.stdin.buffer.read(int(size))
    again = encode(decode(blob, format.decode())).to_bytes()
    print(hashlib.sha256(again).hexdigest(), hash("text"))
"""


@SEEDS
@apart
def test_another_process_writes_the_same_bytes(fixed: bool) -> None:
    """With other hashes of text, and so another order of sets."""
    payloads: list[Any] = []
    for_all(strategies.values(), examples=many(fixed=fixed), seed=99 if fixed else None)(
        lambda value: payloads.append(encode(value))
    )
    blobs = [payload.to_bytes() for payload in payloads]
    sent = b"".join(
        b"%s %d\n%s" % (payload.format.encode(), len(blob), blob) for payload, blob in zip(payloads, blobs, strict=True)
    )
    here = [
        hashlib.sha256(encode(decode(blob, payload.format)).to_bytes()).hexdigest()
        for payload, blob in zip(payloads, blobs, strict=True)
    ]
    search = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    hashes = {str(hash("text"))}
    for hash_seed in ("1", "2") if fixed else ("1",):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": search}
        command = [sys.executable, "-W", "ignore", "-c", AGAIN]
        done = subprocess.run(command, input=sent, env=environment, stdout=subprocess.PIPE, check=True)
        there = [line.split() for line in done.stdout.decode().splitlines()]
        assert [digest for digest, _ in there] == here
        hashes |= {hashed for _, hashed in there}
    assert len(hashes) > 1


# -- the database --------------------------------------------------------------------------------------------


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 1e16, 1e22, 5e-324, 1.0, -1e300])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5),
)


def test_the_database_is_what_it_is_taken_for(jsonb: Callable[[Any], Any]) -> None:
    @for_all(st.lists(DOCUMENTS, min_size=5, max_size=20), examples=50, seed=None)
    def _check(documents: list[Any]) -> None:
        assert difference(jsonb(documents), through_jsonb(documents)) is None


def test_rows_of_any_value_are_what_they_are_taken_for(jsonb: Callable[[Any], Any]) -> None:
    rows: list[Any] = []
    for_all(strategies.values(), examples=100, seed=None)(lambda value: rows.append(encode(value).to_json()))
    assert difference(jsonb(rows), through_jsonb(rows)) is None
