"""What a researcher asks: one file a task."""
