"""What the verbs of the command line do with a configuration: one file a verb that is more than a few lines."""
