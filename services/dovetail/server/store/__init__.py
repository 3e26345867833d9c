"""The store: one schema, one owner. Rows stay inside; frozen values and sequences come out."""
