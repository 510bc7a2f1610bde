"""The provider base classes and the typed values they exchange; one module per family."""
