"""The base of every model."""

from primer.models.base.model import Model, Stage

__all__ = ["Model", "Stage"]
