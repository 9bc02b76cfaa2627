"""The command line: one face over the agent's operations."""
