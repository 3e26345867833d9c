"""Dovetail's command line: run the servers, and call them."""

import os

# gRPC writes its own view of an error to standard error, beside the line that we write about it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
