"""Which exit status a diagnostic stands for."""

import pytest

from chains_cli.exits import Exit, code_exit, diagnostics_exit
from chains_protocol.errors import Code, Diagnostic, Severity


@pytest.mark.parametrize("code", list(Code), ids=lambda c: c.value)
def test_every_code_has_a_status_that_is_not_success(code: Code) -> None:
    assert code_exit(code) is not Exit.OK


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.MISSING_ANNOTATION, 1),
        (Code.BAD_REQUIREMENTS, 1),
        (Code.REMOTE_UNREACHABLE, 4),
        (Code.REMOTE_REFUSED_TOKEN, 4),
        (Code.PORT_IN_USE, 4),
        (Code.PLATFORM_START_FAILED, 4),
        (Code.STALE_BASE, 5),
        (Code.GPU_MISSING, 3),
        (Code.ENVIRONMENT_BUILD_FAILED, 3),
        (Code.PATCH_FAILED, 3),
        (Code.INIT_FAILED, 3),
        (Code.CALL_FAILED, 1),
        (Code.INTERNAL, 70),
    ],
)
def test_statuses_of_the_table(code: Code, status: int) -> None:
    assert code_exit(code) == status


def test_the_gravest_error_decides_and_warnings_do_not_count() -> None:
    found = [
        Diagnostic(code=Code.TRUSS_INSTALLED, message="", severity=Severity.WARNING),
        Diagnostic(code=Code.MISSING_ANNOTATION, message=""),
        Diagnostic(code=Code.STALE_BASE, message=""),
    ]
    assert diagnostics_exit(found) == Exit.CONFLICT
    assert diagnostics_exit(found[:1]) == Exit.OK
