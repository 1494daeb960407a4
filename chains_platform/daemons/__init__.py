"""The platform's own two processes, the control plane and the gateway."""
