"""The pilot's decisions, without input, output, clock or randomness."""
