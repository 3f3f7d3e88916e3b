"""shapely, pyproj and geopandas."""
