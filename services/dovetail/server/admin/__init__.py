"""The administration of both servers: teams and credentials. It knows neither service."""
