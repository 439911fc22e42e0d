"""The rows beside the discriminator's: other features, and other ways to use few labels."""
