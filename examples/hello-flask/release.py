"""Runs once before a new version starts: the place for database migrations."""

print("release: nothing to migrate, all is well")
