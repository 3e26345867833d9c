"""Other programs that keep messages or tasks on disk, each on its durable setting."""
