"""Files, the hub and its cache, bounds on what strangers wrote, interruption."""
