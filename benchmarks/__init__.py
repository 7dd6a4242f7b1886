"""What the service costs: speed and memory, against the service that one would write first."""
