"""Codecs for types of the standard library, pytz and dateutil."""
