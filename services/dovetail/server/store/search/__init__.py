"""Full text search: words of texts, what a query asks of them, and the index of each database."""
