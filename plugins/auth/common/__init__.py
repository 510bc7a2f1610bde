"""The look of all pages on which people sign in."""
