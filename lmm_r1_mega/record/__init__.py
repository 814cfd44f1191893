"""What a run writes down and shows: folder, metrics, checkpoints' safety, trackers, console."""
