"""The OpenAPI document as a file, and what writes it."""
