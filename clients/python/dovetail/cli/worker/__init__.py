"""`dovetail worker`: programs that work on tasks, and all that they leave behind."""
