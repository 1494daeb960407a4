"""Morse code as sound: float32 samples at 8 kHz, amplitude in [-1, 1]."""

import itertools

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 8000
TONE_HZ = 600.0
DOT_S = 0.05
"""Length of a dot; a dash is three, the gap inside a letter one, between letters three, between words seven."""

Samples = npt.NDArray[np.float32]

CODE = {
    "A": ".-", "B": "-...", "C": "-.-.", "D": "-..", "E": ".", "F": "..-.", "G": "--.", "H": "....", "I": "..",
    "J": ".---", "K": "-.-", "L": ".-..", "M": "--", "N": "-.", "O": "---", "P": ".--.", "Q": "--.-", "R": ".-.",
    "S": "...", "T": "-", "U": "..-", "V": "...-", "W": ".--", "X": "-..-", "Y": "-.--", "Z": "--..",
    "0": "-----", "1": ".----", "2": "..---", "3": "...--", "4": "....-", "5": ".....", "6": "-....", "7": "--...",
    "8": "---..", "9": "----.",
}  # fmt: skip
LETTERS = {code: letter for letter, code in CODE.items()}


def synthesize(message: str, noise: float, seed: int) -> Samples:
    """The message as tones in white noise of standard deviation `noise`; same seed, same samples."""
    dot = round(DOT_S * SAMPLE_RATE_HZ)
    envelope: list[npt.NDArray[np.float64]] = [np.zeros(7 * dot)]
    for word in message.upper().split():
        for letter in word:
            for mark in CODE[letter]:
                envelope += [np.ones(dot if mark == "." else 3 * dot), np.zeros(dot)]
            envelope.append(np.zeros(2 * dot))
        envelope.append(np.zeros(4 * dot))
    keyed = np.concatenate(envelope)
    tone = 0.8 * keyed * np.sin(2 * np.pi * TONE_HZ * np.arange(len(keyed)) / SAMPLE_RATE_HZ)
    hiss = np.random.default_rng(seed).normal(0.0, noise, len(keyed))
    return np.clip(tone + hiss, -1.0, 1.0).astype(np.float32)


def power(samples: Samples) -> npt.NDArray[np.float64]:
    """Power of the tone in steps of half a dot (quadrature detection): shape (n // step,)."""
    step = round(DOT_S * SAMPLE_RATE_HZ / 2)
    phase = np.exp(-2j * np.pi * TONE_HZ * np.arange(len(samples)) / SAMPLE_RATE_HZ)
    mixed = (samples * phase)[: len(samples) // step * step].reshape(-1, step)
    loudness: npt.NDArray[np.float64] = np.abs(mixed.mean(axis=1))
    return loudness


def runs(is_on: npt.NDArray[np.bool_]) -> list[tuple[bool, int]]:
    """Run lengths: [(on, steps), ...]."""
    edges = np.flatnonzero(np.diff(is_on)) + 1
    bounds = [0, *edges.tolist(), len(is_on)]
    return [(bool(is_on[a]), b - a) for a, b in itertools.pairwise(bounds) if b > a]


def words(samples: Samples) -> list[Samples]:
    """Cut a recording at the long gaps between words."""
    step = round(DOT_S * SAMPLE_RATE_HZ / 2)
    loudness = power(samples)
    cut: list[Samples] = []
    at, start = 0, 0
    for on, length in runs(loudness > loudness.max() / 2):
        at += length
        if not on and length >= 10:  # more than five dots of silence
            middle = at - length // 2
            cut.append(samples[start * step : middle * step])
            start = middle
    cut.append(samples[start * step :])
    return [piece for piece in cut if power(piece).max(initial=0.0) > loudness.max() / 2]


def decode(samples: Samples) -> str:
    """One word of Morse; `?` for a letter that isn't one."""
    loudness = power(samples)
    letters, code = [], ""
    for on, length in runs(loudness > loudness.max() / 2):
        if on:
            code += "." if length < 4 else "-"
        elif length >= 4 and code:
            letters.append(LETTERS.get(code, "?"))
            code = ""
    if code:
        letters.append(LETTERS.get(code, "?"))
    return "".join(letters)
