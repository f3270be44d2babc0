"""Commands about workflows, productions and transformations."""
