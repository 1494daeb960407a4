"""The author's tool: the `chains` command."""
