"""Load what is at the path given with Keras, and print its tables and what its optimizer keeps, as
JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
sys.path.insert(0, str(Path(__file__).parents[1] / "adapters" / "fixtures" / "keras"))

import keras
import make_keras
import numpy as np

path = Path(sys.argv[1])
if path.name.endswith(".weights.h5"):
    model = make_keras.functional()
    model.load_weights(path)
else:
    model = keras.saving.load_model(path)
users, items = model.get_weights()
slots = [np.asarray(keras.ops.convert_to_numpy(each)) for each in model.optimizer.variables]
scores = model.predict([np.arange(len(users))[:, None], np.full((len(users), 1), 1)], verbose=0)
answer = {
    "users": users.tolist(),
    "items": items.tolist(),
    "scores": scores.ravel().tolist(),
    "slots": [each.tolist() for each in slots if each.ndim == 2],
}
print(json.dumps(answer))
