"""A user's file, read once in the user's interpreter, as data."""
