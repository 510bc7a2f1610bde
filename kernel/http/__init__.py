"""The control plane over HTTP: REST API v1, WebSockets, sign-in, and the pages of plugins."""
