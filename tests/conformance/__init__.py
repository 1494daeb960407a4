"""One table of cases; three ways to run a Chain; the same results."""
