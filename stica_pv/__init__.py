"""STiCA (Space-Time Crop & Attend, ICCV 2021) and its relatives as a plugin for pytorchvideo."""

__version__ = "0.1.0"
