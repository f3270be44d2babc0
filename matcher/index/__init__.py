"""The index: the best waiting job for an offer, without asking every class."""
