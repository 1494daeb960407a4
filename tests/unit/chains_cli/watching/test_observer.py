"""What an observer tells: news, a loss once, and the return."""

import queue

from chains_cli.watching.observer import Back, Lost, News, Observation, Observer
from chains_protocol.errors import Code, Diagnostic, DiagnosticsError


def test_it_tells_news_a_loss_once_and_the_return() -> None:
    gone = DiagnosticsError([Diagnostic(code=Code.REMOTE_UNREACHABLE, message="gone")])
    answers: list[int | DiagnosticsError] = [4, 4, 6, gone, gone, 6]
    asked: list[int] = []
    told: queue.Queue[Observation] = queue.Queue()

    def look(seen: int) -> int:
        asked.append(seen)
        answer = answers.pop(0) if answers else 6
        if isinstance(answer, DiagnosticsError):
            raise answer
        return answer

    observer = Observer(look, told.put, every_s=0.001)
    observer.start()
    try:
        assert told.get(timeout=5) == News()
        assert told.get(timeout=5) == Lost(gone)
        assert told.get(timeout=5) == Back()
    finally:
        observer.stop()
    assert asked[:5] == [0, 4, 4, 6, 6]


def test_a_loss_that_was_over_before_the_next_look_is_answered_too() -> None:
    """Whoever could not send something waits for it."""
    told: queue.Queue[Observation] = queue.Queue()
    observer = Observer(lambda seen: 4, told.put, every_s=0.001)
    observer.start()
    try:
        observer.doubt()
        assert told.get(timeout=5) == Back()
    finally:
        observer.stop()
    assert told.empty()
