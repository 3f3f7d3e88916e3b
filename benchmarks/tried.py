"""What was tried for the targets that a run may miss; the report says it beside the figure."""

from __future__ import annotations

__all__ = ["TRIED"]

_WIDE = (
    "One Arrow column holds the whole block, so that the time of a column is that of its label. Left are the fixed "
    "costs of a blob, which pickle does not have: the envelope, the digest, the names of folders, two flushes, and the "
    "checks of a reader."
)
_DISK = (
    "Digest and writes take turns in pieces, and the disk begins after 2 MiB. Tried without gain: sync_file_range, "
    "fallocate, threads, O_DIRECT. Renaming first and flushing once after it is faster for small blobs, but a crash "
    "could then leave half a blob under its final name."
)
_ROWS = (
    "Rows are packed column by column. Tried without gain: a thousand rows at a time, so that they stay in the "
    "processor's cache; dicts copied from a template; code made for the keys; the garbage collector off."
)
TRIED = {  # work of a verdict -> what was tried
    **{f"float block, {columns} columns": _WIDE for columns in ("1,000", "5,000", "20,000")},
    "array, 10 MB": _DISK,
    "array, 100 MB": _DISK,
    "native tree, 100,000 row dicts": _ROWS,
    "records, 20,000": _ROWS,
}
