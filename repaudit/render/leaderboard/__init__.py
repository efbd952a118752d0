"""Models side by side, as people read them; every file here knows the leaderboard and nothing else."""
