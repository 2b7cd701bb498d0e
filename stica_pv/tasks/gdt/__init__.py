"""GDT: transformation pairs of video and audio (ICCV 2021)."""
