"""The description of a job: checks, sizes, templates and normal form. Pure."""
