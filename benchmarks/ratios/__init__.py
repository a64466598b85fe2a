"""What `make bench` measures, one file for each part of the project."""
