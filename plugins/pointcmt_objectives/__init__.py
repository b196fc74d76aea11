"""First-party distillation objectives."""
