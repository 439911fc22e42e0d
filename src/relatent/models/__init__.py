"""Networks and densities, exact toys. Nothing about files."""
