"""Point operations: one plain-torch reference each and a fast path per device behind it."""
