"""Classes restored by their names."""
