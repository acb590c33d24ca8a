"""Where the repository and its configs are, and which packages a config may name classes of."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "configs"
PACKAGES = ("primer", "torch", "torchvision", "lightning", "torchmetrics")
