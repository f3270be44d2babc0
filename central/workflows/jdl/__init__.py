"""Job descriptions in JDL, the form of DIRAC: reading them into jobs, and writing jobs."""
