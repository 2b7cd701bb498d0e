"""What is done with frozen features: one file a protocol, and the classifiers and rankings that they share."""
