"""Numbers of things in words."""


def several(count: int, noun: str) -> str:
    """`1 image`, `1,200 images`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
