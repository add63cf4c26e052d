"""What a researcher asks of the library, one file a task."""
