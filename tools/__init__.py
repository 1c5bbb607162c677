"""What maintainers run now and then; no part of what is installed."""
