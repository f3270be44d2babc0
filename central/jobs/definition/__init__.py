"""What a job says: checks of it, its sizes, templates and normal form. Pure."""
