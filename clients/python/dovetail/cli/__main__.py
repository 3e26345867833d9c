"""`python -m dovetail.cli` is `dovetail`."""

from dovetail.cli.entry import main

main()
