"""Graph to better graph, graph to instructions, instructions to memory."""
