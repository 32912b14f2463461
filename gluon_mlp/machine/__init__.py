"""What MXNet needs on this machine; imports nothing of the project."""
