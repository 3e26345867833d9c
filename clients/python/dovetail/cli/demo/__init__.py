"""`dovetail demo`: a small team of agents at work."""
