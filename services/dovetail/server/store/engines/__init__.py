"""The databases, and how processes that share one wait for and wake each other."""
