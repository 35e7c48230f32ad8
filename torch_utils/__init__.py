"""Run folders, atomic files, checkpoints, seeds, statistics: what every training shares."""
