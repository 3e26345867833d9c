"""Metrics for Prometheus: what is measured, read and exposed. Only `meter.py` knows the library."""
