"""A module for each kind of row: its values, and the queries. They return; rules raise."""
