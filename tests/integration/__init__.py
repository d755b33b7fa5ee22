"""Several real programs at once, and what breaks between them."""
