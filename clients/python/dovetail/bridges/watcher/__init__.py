"""`dovetail watch`: waits for what an agent should look at, and answers the hooks of its host."""
