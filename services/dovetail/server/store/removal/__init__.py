"""What retention removes: how it is found without reading what stays, and how it goes."""
