"""The stages: one file each, named like its command; generators of records, they never print."""
