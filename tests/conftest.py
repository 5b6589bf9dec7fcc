"""Settings for all tests."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let nbmake fail a notebook whose widget swallowed an error; by itself it passes one."""
    if not config.getoption("nbmake", default=False):
        return
    from nbmake.nb_result import NotebookError, NotebookResult
    from nbmake.nb_run import NotebookRun

    from gholm_lib.notebooks import swallowed_errors

    plain = NotebookRun.execute

    def execute(self: NotebookRun) -> NotebookResult:
        result = plain(self)
        hidden = swallowed_errors(result.nb)
        if result.error is None and hidden:
            trace = "errors that did not stop the notebook:\n" + "\n".join(hidden)
            result.error = NotebookError(summary=hidden[0], trace=trace, failing_cell_index=-1)
        return result

    NotebookRun.execute = execute
