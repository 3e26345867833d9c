"""The edge: bytes become values that are already right, errors become statuses. No rules."""
