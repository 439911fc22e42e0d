"""What the figures show and how they are drawn. matplotlib and pandas are imported only where something is drawn."""
