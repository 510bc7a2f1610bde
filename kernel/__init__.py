"""The kernel: hooks, contracts, pipeline, HTTP choke point. No Docker, GitHub, HTML or plugin."""
