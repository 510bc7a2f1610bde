"""The kernel: hooks, contracts, pipeline, logs, API and CLI. It knows no Docker, GitHub or HTML."""
