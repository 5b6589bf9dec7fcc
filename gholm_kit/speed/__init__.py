"""What the method costs: stages of a training step against the plain network and against peers."""
