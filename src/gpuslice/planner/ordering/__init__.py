"""The steps of a plan in an order that creates before it destroys, and who has to pause."""
