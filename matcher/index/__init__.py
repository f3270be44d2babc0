"""The index: it finds the best waiting job for an offer without a check of every class."""
