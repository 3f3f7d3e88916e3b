"""What keeps stores and rows in order: sweep, retain, migrate, export."""
