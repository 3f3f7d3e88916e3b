"""Trained models: none of these codecs uses pickle."""
