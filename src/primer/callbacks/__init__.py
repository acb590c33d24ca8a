"""Training callbacks."""

from primer.callbacks.acting import ActingPictures
from primer.callbacks.attention import AttentionMaps
from primer.callbacks.baseline import Baseline
from primer.callbacks.ema import EMA
from primer.callbacks.finite import StopOnNaN
from primer.callbacks.generated_samples import GeneratedSamples
from primer.callbacks.gradients import Gradients
from primer.callbacks.latent_space import LatentSpace
from primer.callbacks.pictures import Pictures
from primer.callbacks.prediction_file import PredictionFile
from primer.callbacks.progress import Progress
from primer.callbacks.report import Report
from primer.callbacks.sample_quality import SampleQuality
from primer.callbacks.samples import Samples
from primer.callbacks.word_vectors import WordVectorFiles

__all__ = [
    "EMA", "ActingPictures", "AttentionMaps", "Baseline", "GeneratedSamples", "Gradients", "LatentSpace", "Pictures",
    "PredictionFile", "Progress", "Report", "SampleQuality", "Samples", "StopOnNaN", "WordVectorFiles",
]  # fmt: skip
