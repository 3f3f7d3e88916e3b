"""Codecs for the types that tasks return, one family a file; each is imported when one of its objects appears."""
