"""Dovetail's servers: MessagingService and TaskService over one store."""
