"""What private repositories are read with: kept, shown without the secret, and forgotten."""
