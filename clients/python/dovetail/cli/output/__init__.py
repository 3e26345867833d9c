"""What commands say: rendering, printing, exit codes. It knows no option and no command."""
