"""Files that run a trained model without Primer."""

from primer.export.export import FORMATS, export

__all__ = ["FORMATS", "export"]
