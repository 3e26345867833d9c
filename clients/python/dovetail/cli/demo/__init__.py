"""`dovetail demo`: a small team works, for you to watch."""
