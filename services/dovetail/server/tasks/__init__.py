"""The tasks wing: a task's life, its notices, the report. It knows nothing of the other wing."""
