"""What registries share: images in archives, names, progress, settings."""
