"""One picture to (header, LR), and back."""
