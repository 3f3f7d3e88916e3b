"""Codecs for types of shapely, pyproj and geopandas."""
