"""Pictures and tables of what a run has learnt."""
