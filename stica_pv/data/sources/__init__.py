"""Lists of videos: folders, csv files, official sets."""
