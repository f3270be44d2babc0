"""Runs CWL documents on this machine or on pilots: `pilotage-cwl-runner`."""
