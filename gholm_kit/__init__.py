"""What surrounds gholm_lib: drawn data, teaching, reproduction, speed, pages and the command ``gholm``."""
