"""`python -m tests.architecture`: the rooms, the arrows between them that run upwards, and the circles of
files."""

from tests.architecture.imports import circles, imports, lines, rooms_of, upward

if __name__ == "__main__":
    found = imports()
    for importer, imported in (back := upward(found)):
        print(f"upward: {importer} imports {imported}")
    for circle in (round_ := circles(found)):
        print(f"circle: {' -> '.join(circle)}")
    print(
        f"RESULT upward={len(back)} circles={len(round_)} rooms={len(rooms_of(found))} files={len(found)} lines={lines()}"
    )
