"""`python -m tests.architecture`: the rooms, the arrows between them that run upwards, and the circles of
files."""

from tests.architecture.imports import circles, imports, lines, rooms_of, upward

if __name__ == "__main__":
    modules = imports()
    for importer, imported in (back := upward(modules)):
        print(f"upward: {importer} imports {imported}")
    for circle in (round_ := circles(modules)):
        print(f"circle: {' -> '.join(circle)}")
    size = f"rooms={len(rooms_of(modules))} files={len(modules)} lines={lines()}"
    print(f"RESULT upward={len(back)} circles={len(round_)} {size}")
