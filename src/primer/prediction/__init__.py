"""Predictions from raw inputs: encodes them as a spec describes, and returns results in the user's terms."""

from primer.prediction.predict import predict
from primer.prediction.predictions import Predictions

__all__ = ["Predictions", "predict"]
