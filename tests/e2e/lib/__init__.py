"""What the end-to-end tests share: real processes, waiting with an end, files, a fake Redis."""
