"""Access: authentication, rights, the interceptor around every call, the audit log."""
