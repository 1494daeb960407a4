"""Import paths that user code and generated code write for what runs inside a deployed Chainlet."""
