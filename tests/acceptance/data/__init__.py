"""Stories about data: Rucio, and files that jobs read and write."""
