"""What the chapters use: ground truth, tests of heatmaps, photographs; checks, figures and sliders a chapter."""
