"""From Dovetail to the next turn of a model: what hosts of models show of messages and tasks."""
