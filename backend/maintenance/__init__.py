"""What keeps stores and rows in order: sweep, retain, migrate, export."""

# A blob's time is that of its beginning in some stores, so this exceeds the longest push, its retries and its row's.
GRACE = 86_400.0  # seconds
# Between the two looks at the rows, by a clock that does not jump; exceeds the time from a whole blob to its row, and
# from reading a row to reading its blob.
WAIT = 300.0  # seconds
