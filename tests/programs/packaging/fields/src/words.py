from pathlib import Path

FIRST = (Path(__file__).parent / "words.txt").read_text().split()[0]
