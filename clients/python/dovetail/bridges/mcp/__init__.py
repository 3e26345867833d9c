"""`dovetail mcp`: an agent's calls as tools of the Model Context Protocol.

`server.py` alone loads the SDK. The others know the client and the texts that a model reads.
"""
