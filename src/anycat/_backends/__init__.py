"""What anycat knows of each array library: one file each, chosen by the type of an array."""
