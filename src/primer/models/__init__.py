"""Models, each its own LightningModule in its own file."""
