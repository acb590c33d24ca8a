"""The output of a run: the run folder, loggers and the console."""
