"""Where shapes come from, how they are sampled and seen, and the files they are kept in."""
