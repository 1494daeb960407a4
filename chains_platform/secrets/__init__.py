"""What nobody else may read: the users' secrets and the platform's tokens."""
