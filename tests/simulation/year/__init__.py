"""A year of a production in virtual time: the shipped central on its real store."""
