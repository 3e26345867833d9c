"""Moving what a store holds: rows read in order, written in bites, and compared."""
