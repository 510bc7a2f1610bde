"""GitHub as the tests need it: its REST API, its Git, its webhooks, over real HTTP, and strict."""
