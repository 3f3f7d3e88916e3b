"""What was tried for the targets that a run may miss; the report says it beside the figure."""

from __future__ import annotations

__all__ = ["TRIED"]

_LEAF = (
    "The few natives that the codec makes go into the row as they are: nothing is packed. What JSON keeps as itself is "
    "told before a coordinate is made, and that is not frozen; a pull makes one of an envelope alone. Times in UTC are "
    "written by orjson; a short text as summary and exact natives are looked at once. Left are the envelope with the "
    "place, the summary and the checks of a reader, which stock serde does not have, and the JSON of a longer row, "
    "which alone takes half as long as all that stock serde does with a model. Of a model also: the look at its "
    "class, and keys in an order that JSONB loses. Not done, for the pages would show it worse: fields and values of a "
    "model as two lists, in 0.8 of the time. Tried without gain: lists and pairs of scalars of the row read without a "
    "call for each; modules looked up without an import statement, which is felt after a wait alone."
)
_FIRST = (
    "The parent of a fork does once what a first push does once; advice for refusals, writers of JSON and of trees are "
    "imported by those who use them; options of retention are not read. Left are small modules of ours, the library of "
    "orjson, and the reading of the other options, each of which Airflow looks up in several places; in a forked "
    "child, every page that this touches is copied first, which takes longer than the work. Tried without gain: the "
    "garbage collector off or frozen. Not done: options read in the parent, which need not be those of its child."
)
_FIRST_FRAME = (
    "Trees, the packer of cells, readers, digests, advice, and the codecs of times, zones and offsets are "
    "imported by those who use them. Left are the modules of frames and of Arrow's format, and what pandas and pyarrow "
    "do when they are first called."
)
_FRAME = (
    "The row takes an Arrow stream, which Arrow writes in one piece, and what Arrow cannot say as JSON, zones and "
    "offsets without packing them first; decoders skip what pandas would check again; the first rows, for people, are "
    "made for no blob. Left is Python for each column, in a row a fifth of the push for these rows. All of it takes "
    "half as long again as its parts in loops of their own, for it is much code of several libraries, and twice as "
    "long after the disk was waited for, or where others use the caches. So functions of Arrow that compute are called "
    "where there is much to compute: few categories are compared in Python. Tried without gain: plans per schema, for "
    "it is not Arrow's format that takes the time; fewer calls for the first rows; all offsets of a FlatBuffer read at "
    "once; larger pieces from Arrow, or all in one; the garbage collector off; thirty calls fewer to look for what "
    "objects of pandas may hold, and a writer of cells made without functools. A push makes some twenty calls of the "
    "system, and a pull as many, none of them twice."
)
_WIDE = (
    "One Arrow column holds the whole block, and one text all labels, so that a column costs little more than its "
    "label. Left are the fixed costs of a blob, which pickle does not have: the envelope, the digest, a file in "
    "folders of its own, two flushes, and the checks of a reader. To write these bytes and flush them takes about as "
    "long as the target over a pickle-5 that flushes nothing allows for all (like for like). Labels are joined, and "
    "their places found, in a few steps of NumPy, the block is taken as it lies, and folders are closed as they are "
    "left: that saves a sixth. Tried without gain: one call of the system for all folders of a path (openat2); texts "
    "split by Arrow."
)
_DISK = (
    "Digest and writes take turns in pieces, and the disk begins after 2 MiB. Tried without gain: sync_file_range, "
    "fallocate, O_DIRECT; a thread for the digest, or for the flush; a flush after 1, 4 or 8 MiB. Renaming first and "
    "flushing once after it is faster for small blobs, but a crash could then leave half a blob under its final name."
)
_LARGE_FRAME = (
    f"{_DISK} To write these bytes and flush them (limit, fsync) takes longer than all that pickle-5 does without a "
    "flush. Columns are encoded and decoded where they lie, and masks in the steps of the processor. Tried without "
    "gain: pages of the mapped blob made resident at once; text checked by words of eight bytes, or by Arrow as one."
)
_ROWS = (
    "Rows are packed column by column, taken apart and packed a thousand at a time, while the processor's cache holds "
    "them, and made with four items at once. Tried without gain: dicts copied from a template, begun with their first "
    "pair, by code made for their number of keys, or filled by two columns at a time; rows made a thousand at a time; "
    "keys told to be text by what the garbage collector visits; other lists of scalars packed in pieces; the collector "
    "off. A large tree is copied twice, not four times. Left are the dicts: "
    "one of 1,500,000 names takes three times as long for each as one of 100,000, however it is made, as no cache "
    "holds it and Python knows no way to make a dict of a size that is known."
)
_OBJECTS = (
    "Objects of one class are packed column by column, and their policy and layout are checked once. Left are the "
    "columns themselves, and the making of the objects."
)
_CELLS = (
    "One packer serves all cells, and cells that hold few natives are read as the items of one array, once a look at "
    "their first bytes says that each ends where the next begins. Left is that each cell is packed by itself, so that "
    "parts of a column can be read, and the look for objects that MessagePack would take for natives."
)
_SERVER = (
    "Each way takes one request over an open connection. The store alone takes as long as the bare client over S3, and "
    "less over Valkey: commands go over redis-py's connections without its pool, which looks and counts around each. A "
    "reference is checked in a third of the time, few natives are packed without a writer, a small blob is joined "
    "before it is digested, and no import statement, generator or lock is met on the way: that saves a seventh. Left "
    "are some two hundred calls of functions in Python, for codec, envelope, path, digest and their checks: while a "
    "request waits, the processor forgets this code, which then takes twice as long as in a loop over Valkey, and four "
    "to six times over S3, where the store alone takes 1.05 times the bare client. Tried without gain: another version "
    "of the protocol, no time-outs, no retries, requests without a range, paths without folders, a packer kept or with "
    "other buffers. Not done: the prefix of a path remembered from the push "
    "for the pull, which are never in one process elsewhere."
)
TRIED = {  # work of a verdict -> what was tried
    **dict.fromkeys(
        ("datetime, alone", "Decimal, alone", "tuple, alone", "UUID, alone", "pydantic model, alone"), _LEAF
    ),
    **dict.fromkeys(
        ("first push of a datetime", "first pull of a datetime", "first push of a datetime, forked"), _FIRST
    ),
    "first push of a frame of 20 rows": _FIRST_FRAME,
    **dict.fromkeys(("mixed frame, 20 rows", "small frame, 20 rows", "mixed frame, 1,000 rows"), _FRAME),
    **{f"float block, {columns} columns": _WIDE for columns in ("1,000", "5,000", "20,000")},
    **dict.fromkeys(("array, 10 MB", "array, 100 MB"), _DISK),
    **dict.fromkeys(("mixed frame, 500,000 rows", "distinct strings, 1,000,000"), _LARGE_FRAME),
    **dict.fromkeys(("native tree, 100,000 row dicts", "records, 20,000", "slope, native tree, from 1 MB on"), _ROWS),
    **dict.fromkeys(("dataclasses, 100", "dataclasses with a time, 100"), _OBJECTS),
    **dict.fromkeys(("tuples, 200,000", "dataclasses, 200,000", "dataclasses with a time, 20,000"), _OBJECTS),
    **dict.fromkeys(("object column, 200,000", "column of dicts, 200,000"), _CELLS),
    **dict.fromkeys(("S3, 1 KB", "Valkey, 1 KB"), _SERVER),
}
