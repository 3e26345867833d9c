"""`python -m dovetail` is `dovetail`."""

from dovetail.cli.main import main

main(prog_name="dovetail")
