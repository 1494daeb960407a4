"""HTTP on the road of a request."""
