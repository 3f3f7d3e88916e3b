"""Names of anything, as parts of paths that every store takes."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from urllib.parse import quote

_LONGEST_WHOLE = 157  # longer text is cut, and then longer than this: so no two texts have one segment


@lru_cache(maxsize=1024)  # a task, and a page of rows, ask for the same names again and again
def segment(text: str | None) -> str:
    """Return ``text`` as one path segment; what is cut has its hash, so that no other text has the segment."""
    whole = escaped(text)
    if len(whole) <= _LONGEST_WHOLE:
        return whole
    return f"{re.sub('%.?$', '', whole[:141])}...{digest(whole)}"


def escaped(text: str | None) -> str:
    """Return ``text`` percent-encoded, never empty or hidden."""
    quoted = quote(text or "_", safe="", errors="surrogatepass")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted


def digest(text: str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
