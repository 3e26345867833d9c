"""The tasks wing: a task's life, the notices about it, the report. It knows nothing of the other wing."""
