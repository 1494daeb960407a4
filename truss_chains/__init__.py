"""The SDK: what user files import."""
