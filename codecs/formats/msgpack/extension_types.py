"""The MessagePack extension types of the format (docs/FORMAT.md, section 4).

====== ===========================================================================================
code   data
====== ===========================================================================================
0      a buffer in place: its bytes
1      a buffer of the blob: its index, packed
2      a table: ``[meta, buffer]``, packed; the buffer is an Arrow IPC stream
3      a tagged node that may be met again: ``[number, index, node]``, packed
4      a tagged node that was met before: its number, packed
5      dicts with the same keys: ``[names, keys, columns]``, packed; names is nil for a list of them
6      a list of nodes of one tag: ``[index, nodes, positions of nil]``, packed
7      such a list whose nodes are alike: ``[index, head, names, columns, positions of nil]``, packed
15     a tagged node whose tag is not among the first 112: ``[index, node]``, packed
16-127 a tagged node: the node, packed; the code less 16 is the index into the table of tags
====== ===========================================================================================
"""

from __future__ import annotations

INLINE_BUFFER, BUFFER, TABLE, SHARED, SAME, RECORDS, TAGGED_LIST, TAGGED_COLUMNS, FAR_TAG = *range(8), 15
FIRST_TAG = 16
NEAR_TAGS = 128 - FIRST_TAG  # tags that have a code of their own
TIMESTAMP_AS_INT = 2  # how MessagePack's own type -1 is unpacked, which no writer writes and no hook can refuse
DEEPEST = 100  # levels of extension types within each other
