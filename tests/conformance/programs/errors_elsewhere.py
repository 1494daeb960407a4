"""Another module of the same workspace."""


class ElsewhereError(LookupError):
    pass
