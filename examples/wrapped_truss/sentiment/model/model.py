"""Scores texts by the words they hold; the words and their weights lie in `data`."""

import json
import os

import numpy as np
from lexicon import words


class Model:
    def __init__(self, config, data_dir, secrets, **kwargs):
        self._scale = config["model_metadata"]["scale"]
        self._data_dir = data_dir
        self._weights = {}

    def load(self):
        self._weights = json.loads((self._data_dir / "weights.json").read_text())

    def preprocess(self, inputs):
        return [words(text) for text in inputs["texts"]]

    def predict(self, texts):
        floor = float(os.environ["FLOOR"])
        sums = [sum(self._weights.get(word, 0.0) for word in text) for text in texts]
        return np.clip(np.array(sums) * self._scale, floor, 1.0)

    def postprocess(self, scores):
        return {"scores": scores.round(2)}
