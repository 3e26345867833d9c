"""What `dovetail report` writes to files: a page for browsers, and rows for spreadsheets."""
