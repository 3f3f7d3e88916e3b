"""Columns, rows and types of stored tables."""
