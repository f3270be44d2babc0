"""Runs CWL v1.2 documents: each CommandLineTool is a job. Needs the extra `cwl`."""
