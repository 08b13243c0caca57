"""Pictures of models: boxes for layers, arrows for what flows between them; PNG, SVG and PDF."""
