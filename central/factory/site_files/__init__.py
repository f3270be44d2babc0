"""Site files: sites and elements as operators write them, with checks."""
