"""What several builders share: files, commands, caches, Node projects."""
