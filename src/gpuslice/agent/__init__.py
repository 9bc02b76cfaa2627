"""The node's daemon: keeps a stack as it should be, and its control API."""
