"""First-party point backbones, one file per family."""
