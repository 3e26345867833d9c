"""The administration of both servers: teams and credentials. It knows nothing of the wings."""
