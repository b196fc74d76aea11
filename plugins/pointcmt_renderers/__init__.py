"""First-party renderers."""
