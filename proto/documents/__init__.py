"""The documents that submitters hand in: jobs, transformations and workflows."""
