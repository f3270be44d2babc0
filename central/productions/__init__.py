"""Productions: workflows on pilots, each step a transformation, steered as one thing."""
