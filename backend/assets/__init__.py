"""Values of assets: versions that are published, pinned, described and kept by rules of their own."""
