"""Productions: workflows that run on pilots, as linked transformations that are one thing."""
