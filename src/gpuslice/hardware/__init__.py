"""The boards we know: a data file and its loader, for planning and simulation without the card."""
