"""Data sets as LightningDataModules, a file for each kind of data."""
