"""The messaging wing: inboxes, subscriptions, the directory of agents. It knows nothing of tasks."""
