"""The stack file: schema, parsing with lines, starter file."""
