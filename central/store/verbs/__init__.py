"""The verbs of a store, as plain functions on a session of named statements.

They are the same on every database: what differs is the text of some statements (`dialects`)
and how a connection is opened, committed and read (`sqlite`, `postgresql`).
"""
