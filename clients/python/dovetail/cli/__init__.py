"""Dovetail's command line: run the servers, and call them."""

import os

from dovetail.cli.streams import open_what_is_closed

# Before gRPC is loaded, which opens files of its own.
open_what_is_closed()

# gRPC writes its own view of an error to standard error, beside the line that we write about it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
