"""First-party view teachers, one file per family."""
