"""What commands are told: options, settings, the configuration file, the connection."""
