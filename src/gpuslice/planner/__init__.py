"""Layouts that serve every demand, and the change that leads there."""
