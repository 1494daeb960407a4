from pathlib import Path

STOP_WORDS = (Path(__file__).parent / "stop_words.txt").read_text().split()


def normal(text: str) -> str:
    return " ".join(word for word in text.lower().split() if word not in STOP_WORDS)
