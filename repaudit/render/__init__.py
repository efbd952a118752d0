"""What people read: every renderer knows the report and nothing else."""
