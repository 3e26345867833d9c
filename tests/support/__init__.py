"""What tests share: stores of both engines, servers in this process and as processes."""
