"""What `run.py` and `worker.py` share."""
