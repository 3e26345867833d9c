"""Running the servers on this machine, and finding out whether they serve."""
