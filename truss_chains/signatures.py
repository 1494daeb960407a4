"""Reading signatures, on every version of Python.

Since Python 3.14 annotations are evaluated when they are read, so that reading a signature
could fail on a name that is defined later; there, such names are kept as forward references.
"""

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any


def signature_of(function: Callable[..., Any]) -> inspect.Signature:  # a user's function
    """The signature; annotations may be types, text or forward references."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def has_text_annotation(function: Callable[..., Any]) -> bool:
    """Whether an annotation is text, or has text in it, as in `list["Model"]`."""
    signature = signature_of(function)
    annotations = [parameter.annotation for parameter in signature.parameters.values()]
    return any(_has_text(annotation) for annotation in (*annotations, signature.return_annotation))


def _has_text(form: object) -> bool:
    if isinstance(form, str | typing.ForwardRef):
        return True
    if typing.get_origin(form) is typing.Literal:
        return False
    return any(_has_text(argument) for argument in typing.get_args(form))


__all__ = ["has_text_annotation", "signature_of"]
