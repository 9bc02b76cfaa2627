"""The stack file: its schema, its reader that reports every problem at once, and its starter."""
