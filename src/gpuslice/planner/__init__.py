"""Layouts that serve every demand, and the change that leads there.

The room in reading order: `plan` is the front door, and `packing`, `recipes` and `ordering` are its
three chapters of method; `consistency` says which rules exclude each other, `checking` holds every
plan against the facts again, and the modules beside this one lead from one to the next.
"""
