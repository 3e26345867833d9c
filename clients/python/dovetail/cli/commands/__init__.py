"""The commands that call servers for agents and admins, and what describes the program itself."""
