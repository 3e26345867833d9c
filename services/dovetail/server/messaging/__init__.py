"""The messaging wing: inboxes, subscriptions, the directory. It knows nothing of the other wing."""
