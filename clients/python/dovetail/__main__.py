"""`python -m dovetail` is `dovetail`."""

from dovetail.cli.entry import main

main()
