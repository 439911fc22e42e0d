"""The latent-space and filter experiments."""
