"""Values in, rich renderables out: no reading, no deciding, nothing but how things look."""
