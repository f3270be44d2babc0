"""Runs of CWL documents on pilots: each tool is a job, made when its inputs are there."""
