"""Who may call, and what is told of it: authentication, rights, credentials, the audit log."""
