"""Values of assets: published by one task, read by others of any Dag, in versions that a run pins."""
