"""Where replicas run: one interface (`engine.py`), one module for each implementation."""
