"""``gholm export``: a trained network as one graph for other programs, with its model card.

``graph`` states the method as plain tensor operations, ``files`` writes and checks .onnx and .pt2, ``card`` says
what the network is, ``hub`` makes a folder that timm loads.
"""
