"""Pictures: decoding and encoding, other sizes, and drawing masks and maps over them."""
