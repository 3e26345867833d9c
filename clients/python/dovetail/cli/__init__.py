"""Dovetail's command line: run the servers, and call them."""

import os

from dovetail.cli.streams import open_what_is_closed

# Before gRPC is loaded, which opens files of its own.
open_what_is_closed()

# gRPC logs errors to standard error itself, beside the line that the command writes.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
