"""The control plane and the gateway."""
