"""Data sets as LightningDataModules, one file per kind of data."""
