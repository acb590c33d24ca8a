"""What every data set shares: splits, scaling and loaders."""
