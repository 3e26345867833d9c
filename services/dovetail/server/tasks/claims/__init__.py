"""Claims and leases: which waiting agent gets which task, and when a holder has lost it."""
