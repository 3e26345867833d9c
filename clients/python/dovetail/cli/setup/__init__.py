"""`dovetail setup`: what a host of models needs in its configuration, written and taken back."""
