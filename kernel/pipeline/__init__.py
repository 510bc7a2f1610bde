"""From a queued deployment to a live release: queue, plan, stages, rollover, recovery."""
