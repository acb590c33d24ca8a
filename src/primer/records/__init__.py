"""What a run writes and shows: the run folder, the loggers, the console."""
