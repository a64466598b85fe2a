"""Settings: where the YAML files are, a hash of their content, and suggestions for names that do not exist."""
