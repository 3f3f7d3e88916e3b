"""No payload runs code, and none costs more than its bytes justify."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import airflow_xcom.backend
import airflow_xcom.codecs
from airflow_xcom.backend import CodecXComBackend
from airflow_xcom.codecs import CodecError
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.quoting import described, quoted

# -- no pickle, no code --------------------------------------------------------------------------------------

SOURCES = {
    f"{package.__name__}/{path.relative_to(folder)}": path
    for package in (airflow_xcom.codecs, airflow_xcom.backend)
    for folder in package.__path__
    for path in sorted(Path(folder).rglob("*.py"))
}

# What unpickles, or loads code objects; those in other libraries by the attribute that does.
MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "copyreg",
    "jsonpickle",
}
NAMES = {"eval", "exec", "compile", "__import__", "execfile"}
ATTRIBUTES = {"read_pickle", "to_pickle", "pickle"}
LOADERS = {"load", "fromfile"}  # of NumPy
ARRAYS = {"np", "numpy"}


def offences(source: str) -> list[str]:
    """Every use of what a payload must never reach, as ``"line: what"``."""
    return [f"{line}: {what}" for line, what in sorted(_offences(ast.parse(source)))]


def _offences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, f"import {a.name}") for a in node.names if _is_banned(a.name))
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, f"from {name}") for name in names if _is_banned(name))
        elif isinstance(node, ast.Call):
            yield from _calls(node)
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            root = node.value.id if isinstance(node.value, ast.Name) else ""
            builtin = root in ("builtins", "__builtins__") and node.attr in NAMES
            if builtin or node.attr in ATTRIBUTES or (root in ARRAYS and node.attr in LOADERS):
                yield node.lineno, f"{root}.{node.attr}"


def _calls(call: ast.Call) -> Iterator[tuple[int, str]]:
    for keyword in call.keywords:
        allowed = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg == "allow_pickle" and not allowed:
            yield call.lineno, "allow_pickle"
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("import_module", "imported", "getattr", "__getattr__", "library"):
        texts = [part.value for part in call.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        found = [text for text in texts if _is_banned(text) or text in NAMES | ATTRIBUTES]
        yield from ((call.lineno, f"{name}({text!r})") for text in found)


def _is_banned(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return bool(MODULES & set(name.split("."))) or last in ATTRIBUTES or (module in ARRAYS and last in LOADERS)


def test_all_of_the_source_is_looked_at() -> None:
    assert {
        "airflow_xcom.codecs/registry.py",
        "airflow_xcom.codecs/builtin/numpy/array.py",
        "airflow_xcom.codecs/formats/msgpack/writer.py",
        "airflow_xcom.backend/xcom.py",
        "airflow_xcom.backend/stores/files.py",
    } <= SOURCES.keys()


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_unpickles_or_evaluates(name: str) -> None:
    assert offences(SOURCES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "import pickle as p",
        "import cloudpickle.pickle",
        "from pickle import loads",
        "def inner():\n    from marshal import loads",
        "import shelve",
        "from pandas import read_pickle",
        "pd.read_pickle(path)",
        "frame.to_pickle(path)",
        "from multiprocessing.reduction import pickle",
        "eval('1')",
        "f = eval",
        "exec(source)",
        "compile(source, '', 'exec')",
        "builtins.eval('1')",
        "__import__('os')",
        "importlib.import_module('pickle')",
        "imported('pickle')",
        "library('joblib', tag)",
        "getattr(builtins, 'eval')",
        "np.load(path)",
        "numpy.load(path, allow_pickle=False)",
        "from numpy import load",
        "numpy.fromfile(path)",
        "read(path, allow_pickle=True)",
        "read(path, allow_pickle=flag)",
        "from numpy.lib.npyio import pickle",
    ],
)
def test_a_planted_offence_is_found(planted: str) -> None:
    assert len(offences(f"x = 1\n{planted}\n")) == 1


@pytest.mark.parametrize(
    "harmless",
    [
        "import json\njson.load(file)",
        "re.compile('a')",
        "'never pickle'",
        "def evaluate(): ...",
        "read(path, allow_pickle=False)",
        "importlib.import_module('numpy')",
        "getattr(value, 'attrs', None)",
    ],
)
def test_what_only_looks_like_one_is_not(harmless: str) -> None:
    assert offences(harmless) == []


# -- names in payloads ---------------------------------------------------------------------------------------

NAMED = [
    ["os.system", 1, "id"],
    ["this", 1, None],
    ["builtins.eval", 1, "1"],
    ["class.dataclass", 1, ["this:anything", {}]],
    ["class.namedtuple", 1, ["this:anything", {}]],
    ["class.enum", 1, ["this:anything", "a"]],
    ["class.attrs", 1, ["this:anything", {}]],
    ["class.pydantic", 1, ["this:anything", [{}, [], None, None]]],
    ["airflow.serde", 1, {"__classname__": "this.anything", "__version__": 1, "__data__": {}}],
    ["defaultdict", 1, ["this.anything", {}]],
    ["path", 1, ["this", "x"]],
    ["ipaddress", 1, ["__class__", "x"]],
    ["zoneinfo", 1, "../this"],
    ["dateutil.tz", 1, ["/etc/localtime"]],
    ["pandas.offsets", 1, ["this", 1]],
    ["pandas.dtype", 1, ["this", 1]],
    ["numpy.dtype", 1, "this"],
    ["numpy.dtype", 1, ["this", "<f8"]],
    ["numpy.scalar", 1, ["this", 1]],
]
DECODE_NAMES = """
import json, sys
from airflow_xcom.codecs import CodecError, registry
from airflow_xcom.codecs.payload import decode_json

list(registry)
for forged in json.load(sys.stdin):
    try:
        print("became", repr(decode_json({"$": forged})))
    except CodecError:
        print("imported" if "this" in sys.modules else "refused")
"""


def test_no_name_in_a_payload_is_imported_or_called() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DECODE_NAMES], input=json.dumps(NAMED), capture_output=True, text=True, check=True
    )
    assert dict(zip(map(str, NAMED), done.stdout.splitlines(), strict=True)) == dict.fromkeys(
        map(str, NAMED), "refused"
    )


# -- what forged payloads cost -------------------------------------------------------------------------------

ROOM = 2 << 30  # bytes of address space that decoding may add
TIME = 20  # seconds of the processor

PRELUDE = f"""
import base64, json, os, random, resource, struct, sys
from functools import partial, reduce
import msgpack, numpy as np, pandas as pd, pyarrow as pa
from airflow_xcom.codecs import CodecError, decode, encode, registry
from airflow_xcom.codecs.payload import decode_json, decode_part

list(registry)  # import every codec
pa.set_cpu_count(1)
pa.table({{"a": [1]}}).to_pandas()


def blob(tree, tags=(), sizes=(), tail=b"", tree_size=None):
    size = len(tree) if tree_size is None else tree_size
    return msgpack.packb(["airflow_xcom", 1, [list(tag) for tag in tags], list(sizes), size]) + tree + tail


def tagged(node, code=16):
    return msgpack.packb(msgpack.ExtType(code, node if type(node) is bytes else msgpack.packb(node)))


def body(*parts, **options):
    return partial(decode, blob(*parts, **options), "msgpack")


def of(tag, node):
    return body(tagged(node), [(tag, 1)])


def row(tag, node):
    return partial(decode_json, {{"$": [tag, 1, node]}})


def nested(wrap, depth, inner=1):
    return reduce(lambda node, _: wrap(node), range(depth), inner)


def frame(columns, meta):
    note = json.dumps({{"version": 1, "tag": "pandas.DataFrame", "tag_version": 1, "meta": meta}})
    table = pa.table(columns).replace_schema_metadata({{"airflow_xcom": note}})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return partial(decode, sink.getvalue().to_pybytes(), "arrow")


def forged_table(table, **options):
    note = json.dumps({{"version": 1, "tag": "pyarrow.Table", "tag_version": 1, "meta": {{}}}})
    table = table.replace_schema_metadata({{"airflow_xcom": note}})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return partial(decode, sink.getvalue().to_pybytes(), "arrow")


def without_mark(forged):
    # pyarrow reads a file from its end, whatever it begins with.
    return bytes(8) + forged.args[0][8:]


def part_without_mark(forged):
    data = without_mark(forged)
    return partial(decode_part, lambda ranges: [memoryview(bytearray(data[a:b])) for a, b in ranges], len(data))


def of_table(tag, table, meta):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return row(tag, {{"$": ["table", [meta, base64.b64encode(sink.getvalue()).decode()]]}})


def bomb():
    sink = pa.BufferOutputStream()
    table = pa.table({{"a": np.zeros(10**8)}})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def doubled(depth, key=False):
    # Tuples that each hold the one before twice: 2**depth places.  The last stands in a set, or is a key.
    rows = [{{"$": ["shared", [0, {{"$": ["tuple", 1, [1]]}}]]}}]
    for number in range(depth):
        below = {{"$": ["same", number]}}
        rows.append({{"$": ["shared", [number + 1, {{"$": ["tuple", 1, [below, below]]}}]]}})
    last = {{"$": ["map", [[rows.pop(), 1]]]}} if key else {{"$": ["set", 1, [rows.pop()]]}}
    return [*rows, last]


def doubled_tree(depth, key=False):
    parts = [tagged([0, 0, [1]], 3)]
    for number in range(depth):
        parts.append(tagged(b"\\x93" + msgpack.packb(number + 1) + b"\\x00\\x92" + tagged(number, 4) * 2, 3))
    parts[-1] = b"\\x81" + parts[-1] + b"\\x01" if key else tagged(b"\\x91" + parts[-1], 17)
    return msgpack.Packer().pack_array_header(len(parts)) + b"".join(parts)


def wide(count, places):
    # One long tuple in many places of tuples in a set: not deep, and yet much more than its bytes.
    items = [{{"$": ["shared", [0, {{"$": ["tuple", 1, [1] * count]}}]]}}]
    items += [{{"$": ["tuple", 1, [{{"$": ["same", 0]}}, place]]}} for place in range(places)]
    return {{"$": ["set", 1, items]}}


TUPLES = [("tuple", 1), ("set", 1)]


def batch_again():
    # A file of one large record batch and 10,000 small ones, whose footer says that all are where the large one is.
    note = json.dumps({{"version": 1, "tag": "pyarrow.Table", "tag_version": 1, "meta": {{}}}})
    large, small = (pa.record_batch({{"a": np.zeros(size)}}) for size in (100_000, 1))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, large.schema.with_metadata({{"airflow_xcom": note}})) as writer:
        for batch in [large] + [small] * 10_000:
            writer.write_batch(batch)
    data = bytearray(sink.getvalue())
    offset = 16 + int.from_bytes(data[12:16], "little")
    place = data.rindex(struct.pack("<q", offset))
    data[place : place + 24 * 10_001] = data[place : place + 24] * 10_001
    return bytes(data)


def run(attempt):
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + {ROOM}, now + {ROOM}))
    resource.setrlimit(resource.RLIMIT_CPU, ({TIME}, {TIME}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        outcome = "value: " + type(attempt()).__name__
    except CodecError as error:
        outcome = "refused: " + type(error).__name__
    print(outcome, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, sep="|", flush=True)


for attempt in json.load(sys.stdin):
    if not os.fork():
        run(eval(attempt))
        os._exit(0)
    _, status = os.wait()
    if status:
        print("signal %d, exit code %d" % (status & 127, status >> 8), 0, sep="|", flush=True)
"""

EMPTY = "{'columns': {'range': [0, 0, 1]}, 'index': {'range': [0, 10**12, 1]}}"

LARGE = "{'$': ['decimal', 1, '1E+999999999']}"  # as an int it would be 400 MB, and take hours to make

REFUSED = {
    "a row of 10,000 arrays": "partial(decode_json, nested(lambda a: [a], 10_000))",
    "a row of 10,000 objects": "partial(decode_json, nested(lambda a: {'a': a}, 10_000))",
    "a row of 10,000 tuples": "partial(decode_json, nested(lambda a: {'$': ['tuple', 1, [a]]}, 10_000))",
    "a row of 10,000 maps": "partial(decode_json, nested(lambda a: {'$': ['map', [[1, a]]]}, 10_000))",
    "10,000 arrays": "body(b'\\x91' * 10_000 + b'\\x01')",
    "10,000,000 arrays": "body(b'\\x91' * 10_000_000 + b'\\x01')",
    "10,000 maps": "body(b'\\x81\\x01' * 10_000 + b'\\x01')",
    "10,000 tuples": "body(nested(lambda a: tagged(b'\\x91' + a), 10_000, b'\\x01'), [('tuple', 1)])",
    "10,000 arrays before the header ends": "partial(decode, b'\\x95' + b'\\x91' * 10_000, 'msgpack')",
    "an array of 4 billion items": "body(b'\\xdd\\xff\\xff\\xff\\xff')",
    "a map of 4 billion items": "body(b'\\xdf\\xff\\xff\\xff\\xff')",
    "many arrays of 4 billion items": "body(b'\\xdd\\xff\\xff\\xff\\xff' * 200)",
    "a header of 4 billion items": "partial(decode, b'\\xdd\\xff\\xff\\xff\\xff', 'msgpack')",
    "text of 4 billion bytes": "body(b'\\xdb\\xff\\xff\\xff\\xff')",
    "bytes of 4 billion bytes": "body(b'\\xc6\\xff\\xff\\xff\\xff')",
    "an extension of 4 billion bytes": "body(b'\\xc9\\xff\\xff\\xff\\xff\\x10')",
    "a tree of 2**62 bytes": "body(b'\\x01', tree_size=2**62)",
    "a buffer of 2**62 bytes": "body(b'\\x01', sizes=[2**62])",
    "a buffer of -1 bytes": "body(b'\\x01', sizes=[-1])",
    "10,000,000 buffers": "body(b'\\x01', sizes=[0] * 10_000_000)",
    "an array of shape 2**40": "of('numpy.ndarray', ['<f8', [2**40], b''])",
    "an array of shape 0 by 2**62 by 2**62, full": "of('numpy.ndarray', ['<f8', [0, 2**62, 2**62], b'x'])",
    "an array of a large negative shape": "of('numpy.ndarray', ['<f8', [-(2**62), 2], b''])",
    "an array of 2**40 objects": "of('numpy.ndarray', ['|O', [2**40], []])",
    "an array of 10,000 dimensions": "of('numpy.ndarray', ['<f8', [1] * 10_000, bytes(8)])",
    "an array of large empty structures": "of('numpy.ndarray', "
    "[['struct', 2**30, False, [['a', '|O', 0]]], [100], [[]]])",
    "a scalar of 1 GB": "of('numpy.scalar', ['<U1000000000', ''])",
    "a dtype nested 10,000 deep": "row('numpy.dtype', nested(lambda a: ['array', a, [1]], 10_000, '<f8'))",
    "a dtype of 2**400 items": "of('numpy.dtype', nested(lambda a: ['array', a, [2]], 400, '<f8'))",
    "a frame of more labels than rows": "frame({'a': [1]}, {'index': {'range': [0, 10**12, 1]}})",
    "categories without rows": "frame({'a': pa.array([], pa.dictionary(pa.int8(), pa.int64()))}, "
    "{'kinds': {'0': ['category', {'range': [0, 10**12, 1]}]}})",
    "levels without rows": "frame({'a': pa.array([], pa.dictionary(pa.int8(), pa.int64()))}, "
    "{'columns': {'range': [0, 0, 1]}, 'index': {'levels': [{'range': [0, 10**12, 1]}]}})",
    "a decimal with a large exponent as an int": "of('fraction', ['1E+999999999', 1])",
    "a range with large steps as text": "of('range', ['0', '9', '1'])",
    "a scalar of a large decimal": f"row('numpy.scalar', ['<i8', {LARGE}])",
    "a time of a large decimal": f"row('numpy.scalar', ['<M8[s]', {LARGE}])",
    "an offset of a large decimal": f"row('pandas.offsets', ['Day', {LARGE}])",
    "a duration of a large decimal": f"row('pendulum.Duration', {{'days': {LARGE}}})",
    "an absolute duration of a large decimal": f"row('pendulum.AbsoluteDuration', [{LARGE}, 0, 0, 0, 0])",
    "a timestamp of a large decimal": f"row('pandas.Timestamp', [{LARGE}, 'ns'])",
    "a timedelta of a large decimal": f"row('pandas.Timedelta', [{LARGE}, 'ns'])",
    "a period of a large decimal": f"row('pandas.Period', [{LARGE}, {{'$': ['pandas.offsets', 1, ['Day', 1]]}}])",
    "a timedelta of large decimals": f"row('timedelta', [{LARGE}, 0, 0])",
    "a range of large decimals": f"row('pandas.Index', {{'range': [0, {LARGE}, 1]}})",
    "a fraction of a large decimal": f"row('fraction', [{LARGE}, 1])",
    "a fraction of long integers": "row('fraction', [{'$': ['int', 1, random.Random(seed).randbytes(2**19).hex()]} "
    "for seed in (1, 2)])",
    "10**9 objects in no bytes": "frame({'a': pa.nulls(10**9)}, {'kinds': {'0': 'object'}})",
    "10**9 numbers in no bytes": "frame({'a': pa.nulls(10**9)}, {})",
    "a sparse column of 10**9 in no bytes": "frame({'a': pa.nulls(10**9)}, "
    "{'kinds': {'0': ['sparse', 'integer', None, None]}})",
    "a run of 10**9 as numbers": "frame({'a': pa.RunEndEncodedArray.from_arrays(pa.array([10**9], pa.int32()), [1])}, "
    "{'kinds': {'0': 'masked'}})",
    "a cell of 4 billion items": "frame({'a': pa.array([b'\\xdd\\xff\\xff\\xff\\xff'], pa.large_binary())}, "
    "{'kinds': {'0': ['cells', []]}})",
    "10**12 levels for two rows": "frame({'a': pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), [1])}, "
    "{'index': {'levels': [{'labels': {'$': ['pandas.Index', 1, {'range': [0, 10**12, 1]}]}}]}})",
    "columns of more labels than fields": "frame({'a': [1]}, {'columns': {'range': [0, 10**12, 1]}})",
    "a path of a time zone": "of('zoneinfo', '../../../../etc/passwd')",
    "an integer of 200,000,000 digits": "of('int', '0x' + 'f' * 200_000_000)",
    "an integer of 200,000,000 digits in the row": "partial(decode_json, {'$': ['int', '1' * 200_000_000]})",
    "a float of 100,000,000 letters": "partial(decode_json, {'$': ['float', 'x' * 100_000_000]})",
    "bytes of a number": "of('bytearray', 2**40)",
    "metadata of numbers": "of_table('pyarrow.Table', pa.table({'a': [1]}), {'metadata': [[2**40, 2**40]]})",
    "a tuple of a long range": "row('tuple', {'$': ['range', 1, [0, 10**12, 1]]})",
    "a set of a network": "row('set', {'$': ['ipaddress', 1, ['IPv4Network', '10.0.0.0/8']]})",
    "a slice of a long range": "row('slice', {'$': ['range', 1, [0, 10**12, 1]]})",
    "a deque of a long index": "row('deque', [None, {'$': ['pandas.Index', 1, {'range': [0, 10**12, 1]}]}])",
    "a counter of a long index": "row('counter', {'$': ['pandas.Index', 1, {'range': [0, 10**12, 1]}]})",
    "a shape of a long range": "row('numpy.ndarray', ['<f8', {'$': ['range', 1, [0, 10**12, 1]]}, "
    "{'$': ['bytes', '']}])",
    "a timezone of a long range": "row('timezone', {'$': ['range', 1, [0, 10**12, 1]]})",
    "a dtype of a long range": "row('pandas.dtype', {'$': ['range', 1, [0, 10**12, 1]]})",
    "holidays of a long range": "row('pandas.offsets', "
    "['CustomBusinessDay', 1, False, {'holidays': {'$': ['range', 1, [0, 10**12, 1]]}}])",
    "an enumeration of 2**40 empty texts": "of_table('polars.Series', pa.table({'a': ['x']}), "
    "{'dtypes': {'0': ['Enum', [{'$': ['numpy.ndarray', 1, ['<U0', [2**40], {'$': ['bytes', '']}]]}]]}})",
    "10**9 nulls as wide integers": "of_table('polars.Series', pa.table({'a': pa.nulls(10**9)}), "
    "{'dtypes': {'0': 'Int128'}})",
    "a field that ends before its element does, in 32 bits": "of('numpy.ndarray', "
    "[['struct', 12, False, [['a', '<i4', 0], ['b', '<f8', 2**31 - 1]]], [1], bytes(12)])",
    "a decompression bomb": "forged_table(pa.table({'a': np.zeros(10**8)}), compression='zstd')",
    "a decompression bomb that does not begin as a file": "partial(decode, without_mark("
    "forged_table(pa.table({'a': np.zeros(10**8)}), compression='zstd')), 'arrow')",
    "a part of a decompression bomb that does not begin as a file": "part_without_mark("
    "forged_table(pa.table({'a': np.zeros(10**8)}), compression='zstd'))",
    "a decompression bomb in a row": "partial(decode_json, {'$': ['pyarrow.Table', 1, {'$': ['table', [{}, "
    "base64.b64encode(bomb()).decode()]]}]})",
    "a large batch that is listed 10,000 times": "partial(decode, batch_again(), 'arrow')",
    "an array of 2**40 empty texts": "of('numpy.ndarray', ['<U0', [2**40], b''])",
    "an enumeration of arrays": "of_table('polars.Series', pa.table({'a': ['x']}), {'dtypes': {'0': ['Enum', "
    "[{'$': ['numpy.ndarray', 1, ['<U0', [2**10], {'$': ['bytes', '']}]]}]]}})",
    "a range for the index of a frame": "of_table('pandas.DataFrame', pa.table({'a': [1]}), "
    "{'index': {'$': ['range', 1, [0, 10**12, 1]]}})",
    "a range for the fields of a class": "row('class.dataclass', ['test:A', {'$': ['range', 1, [0, 10**12, 1]]}])",
    "a dtype of a long index": "row('numpy.dtype', [{'$': ['pandas.Index', 1, {'range': [0, 10**12, 1]}]}, 1])",
    "a range for the extension types of a schema": "row('pyarrow.Schema', [{'$': ['bytes', "
    "base64.b64encode(pa.schema([]).serialize()).decode()]}, {'$': ['range', 1, [0, 10**12, 1]]}])",
    "10**9 nulls of polars": "of_table('polars.Series', pa.table({'a': pa.nulls(10**9)}), {})",
    "a kind with a long index": "of_table('pandas.Series', pa.table({'a': [None]}), "
    "{'kind': ['object', {'$': ['pandas.Index', 1, {'range': [0, 10**12, 1]}]}]})",
    "shared tuples in a set": "partial(decode_json, doubled(60))",
    "shared tuples as a key": "partial(decode_json, doubled(60, key=True))",
    "shared tuples in a set of a blob": "body(doubled_tree(60), TUPLES)",
    "shared tuples as a key of a blob": "body(doubled_tree(60, key=True), TUPLES)",
    "shared tuples in a set of a blob in a row": "partial(decode_json, {'$': ['blob', "
    "base64.b64encode(blob(doubled_tree(60), TUPLES)).decode()]})",
    "shared tuples in many blobs of a row": "partial(decode_json, [{'$': ['blob', "
    "base64.b64encode(blob(doubled_tree(20), TUPLES)).decode()]}] * 1000)",
    "shared tuples in a cell": "frame({'a': pa.array([doubled_tree(60)], pa.large_binary())}, "
    "{'kinds': {'0': ['cells', TUPLES]}})",
    "a shared tuple in many places": "partial(decode_json, wide(20_000, 20_000))",
    "a shared tuple as the key of records": "body(tagged(b'\\x93\\xc0\\x91' + tagged([1], 16) + b'\\x91\\xdd' "
    "+ struct.pack('>I', 10**6) + b'\\x01' * 10**6, 5), TUPLES)",
    "a long key of many records": "body(tagged([None, ['x' * 10**6], [[1] * 10**6]], 5))",
    **{
        f"{count} steps of an inverse Hessian in no bytes": "row('scipy.result', ['LbfgsInvHessProduct', "
        f"[{{'$': ['numpy.ndarray', 1, ['<f8', [{count}, 0], {{'$': ['bytes', '']}}]]}}] * 2 + [None]])"
        for count in (3 * 10**8, 10**12)
    },
    "base64 that is none": "partial(decode_json, {'$': ['bytes', '!' * 50_000_000]})",
}
CHEAP = {
    "shared tuples, not so deep": "partial(decode_json, doubled(16))",
    "shared tuples of a blob, not so deep": "body(doubled_tree(16), TUPLES)",
    "an integer of 100,000,000 digits": "of('int', '0x' + 'f' * 100_000_000)",
    "a decimal with a large exponent": "of('decimal', '1E+999999999')",
    "a range": "of('range', [0, 10**18, 1])",
    "a deque with a large bound": "of('deque', [2**62, []])",
    "a counter of large counts": "of('counter', {'a': 2**63})",
    "a label for each of 10**12 rows of no columns": f"frame({{}}, {EMPTY})",
    "a pandas index of 10**12 labels": "of('pandas.Index', {'range': [0, 10**12, 1]})",
    "categories of a dtype": "row('pandas.dtype', "
    "['CategoricalDtype', {'$': ['pandas.Index', 1, {'range': [0, 10**12, 1]}]}, False])",
    "10**9 nulls of Arrow": "frame({'a': pa.nulls(10**9)}, {'kinds': {'0': 'arrow'}})",
    "a run of 10**9": "frame({'a': pa.RunEndEncodedArray.from_arrays(pa.array([10**9], pa.int32()), [1])}, "
    "{'kinds': {'0': 'arrow'}})",
    "a large network": "of('ipaddress', ['IPv6Network', '::/0'])",
    "an array without elements": "of('numpy.ndarray', ['<f8', [0, 10**9], b''])",
    "a large dtype": "of('numpy.dtype', '<U500000000')",
    "a structured dtype of 1 GB": "of('numpy.dtype', ['struct', 10**9, False, [['a', '<f8', 0]]])",
    "a column of zeros, compressed": "forged_table(pa.table({'a': np.zeros(10**6)}), compression='zstd')",
    "a column of numbers, compressed": "forged_table(pa.table({'a': np.arange(10**6)}), compression='lz4')",
    "a masked scalar": "of('numpy.MaskedArray', None)",
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[str, int]]:
    """What came out of decoding each payload in a process of its own, and the MiB of memory that it took."""
    attempts = REFUSED | CHEAP
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE],
        input=json.dumps(list(attempts.values())),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert len(lines) == len(attempts), done.stderr[-2000:]
    return {name: (outcome, int(mib)) for name, (outcome, mib) in zip(attempts, lines, strict=True)}


@pytest.mark.parametrize("name", REFUSED)
def test_a_forged_payload_is_refused_at_little_cost(outcomes: dict[str, tuple[str, int]], name: str) -> None:
    outcome, mib = outcomes[name]
    assert outcome.startswith("refused: ")
    assert mib < 512


@pytest.mark.parametrize("name", CHEAP)
def test_a_value_that_only_looks_large_costs_little(outcomes: dict[str, tuple[str, int]], name: str) -> None:
    outcome, mib = outcomes[name]
    assert outcome.startswith("value: ")
    assert mib < 256


# -- what errors quote of forged payloads --------------------------------------------------------------------

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "v1"
LONGEST = 2500  # characters of an error


def _doubled(levels: int) -> Any:
    """Tuples within tuples, each level twice, in a list that comes to all of them."""
    node = {"$": ["shared", [10_000, {"$": ["tuple", 1, ["x" * 50]]}]]}
    for level in range(levels):
        again = {"$": ["same", 10_000 + level]}
        node = {"$": ["shared", [10_001 + level, {"$": ["tuple", 1, [node, again]]}]]}
    return node


INTRUDERS = {
    "long text": "x" * 100_000,
    "a long name of a class": f"{__name__}:" + "x" * 100_000,
    "a long list": ["x" * 300] * 300,
    "an object with long keys": {"x" * 50_000 + str(number): number for number in range(2)},
    "bytes": {"$": ["bytes", "eHh4" * 20_000]},
    "a long integer": {"$": ["int", 1, "0x" + "f" * 100_000]},
    "tuples within tuples": _doubled(12),
}


def _with(tree: Any, intruder: Any) -> Iterator[Any]:
    """The tree, with the intruder in place of each of its nodes in turn."""
    yield intruder
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from ({**tree, key: changed} for changed in _with(item, intruder))
        yield {intruder if isinstance(intruder, str) else "x" * 100_000: tree}
    elif isinstance(tree, list):
        for place, item in enumerate(tree):
            yield from ([*tree[:place], changed, *tree[place + 1 :]] for changed in _with(item, intruder))


@pytest.mark.parametrize("name", INTRUDERS)
def test_no_error_quotes_more_than_the_beginning(name: str) -> None:
    longest = ""
    for path in sorted(GOLDEN.glob("*.json")):
        for forged in _with(json.loads(path.read_text())["data"], INTRUDERS[name]):
            try:
                decode_json(forged)
            except CodecError as error:
                longest = max(longest, str(error), key=len)
    assert 20 < len(longest) < LONGEST, longest[:LONGEST]


@pytest.mark.parametrize("name", INTRUDERS)
def test_no_error_about_a_row_quotes_more_than_the_beginning(name: str) -> None:
    reference = {"store": "default", "url": "file:///", "path": "a/b", "size": 1, "format": "arrow", "digest": "x"}
    rows = [
        {"version": 1, "tag": "x.y", "summary": {}, "of": ["a", "b", "c", -1, "d"], "ref": reference},
        {"version": 1, "tag": "x.y", "summary": {}, "of": ["a"], "from": {"x.y": "z"}, "data": {"$": ["x.y", 1, 0]}},
        {"version": 2, "tag": "x.y", "summary": {}, "of": [], "retired": {"at": "now", "rule": "7d"}},
    ]
    longest = ""
    for row in rows:
        for forged in _with(row, INTRUDERS[name]):
            try:
                CodecXComBackend.deserialize_value(SimpleNamespace(value={"airflow_xcom": forged}, key="key"))
            except CodecError as error:
                longest = max(longest, str(error), key=len)
    assert 20 < len(longest) < 4 * LONGEST, longest[:LONGEST]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", '"it\'s"'),
        ("x" * 300, "'" + "x" * 196 + "..."),
        (b"ab", "b'ab'"),
        (10**200, "<int of 665 bits>"),
        ([1, (2.5, None), {"a": {True}}], "[1, (2.5, None), {'a': {True}}]"),
        ((1,), "(1,)"),
        ([[[[1]]]], "[[[<list of 1>]]]"),
        (list(range(9)), "[0, 1, 2, 3, 4, ...]"),
        (date(2024, 2, 29), "datetime.date(2024, 2, 29)"),
        (np.float64(1.5), repr(np.float64(1.5))),
        (np.arange(3), "<numpy.ndarray>"),
        (KeyError(1), "<builtins.KeyError>"),
        (frozenset(), "frozenset()"),
    ],
)
def test_a_value_is_quoted_as_python_writes_it(value: Any, text: str) -> None:
    assert quoted(value) == text


class _Loud:
    def __repr__(self) -> str:
        raise AssertionError("all of it is written")

    __str__ = __repr__


class _UnsayableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("why"), "ValueError: why"),
        (ValueError(), "ValueError: "),
        (KeyError("a"), "KeyError: 'a'"),
        (ValueError("x" * 600), "ValueError: " + "x" * 497 + "..."),
        (KeyError((_Loud(),)), f"KeyError: (<{__name__}._Loud>,)"),
        (ValueError(_Loud(), "why"), f"ValueError: <{__name__}._Loud>, why"),
        (FileNotFoundError(2, "No such file", "a"), "FileNotFoundError: [Errno 2] No such file: 'a'"),
        (_UnsayableError(), "_UnsayableError: an error that cannot be written as text"),
    ],
)
def test_an_error_is_described_without_all_of_what_it_holds(error: Exception, text: str) -> None:
    assert described(error) == text
