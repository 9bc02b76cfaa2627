"""What a model needs on a slice, read from its own files."""
