"""Output that is there whole or not at all.

This module answers: may this folder be replaced, and how is a half-written one avoided? Writing
happens in a hidden sibling on the same file system; a rename puts it in place.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from capmodel.errors import InputError

__all__ = ["check_replaceable", "swap_folder", "write_bytes_atomic", "write_text_atomic"]


def swap_folder(
    target: str | Path,
    write: Callable[[Path], object],
    *,
    ours: str = "plan.json",
    known: Collection[str] | None = None,
) -> None:
    """Write a folder beside its place and put it there by a rename.

    Parameters
    ----------
    target
        The folder. It may be missing, be empty, or hold a file named `ours`: then everything in
        it is replaced. Missing parents are made.
    write
        Called with an empty folder to write into. When it raises, `target` stays as it was.
    ours, known
        The file by which a folder of our own is known, and the names that such a folder may hold;
        None: any. See :func:`check_replaceable`.

    Raises
    ------
    InputError
        When `target` is a file or somebody else's folder, or cannot be written.

    Examples
    --------
    >>> review = Path(tempfile.mkdtemp()) / "review"
    >>> swap_folder(review, lambda folder: (folder / "plan.json").write_text("{}"))
    >>> [file.name for file in review.iterdir()]
    ['plan.json']
    """
    place = Path(target).resolve()
    check_replaceable(target, ours=ours, known=known)
    with _workshop(place, shown=str(target)) as workshop:
        new, old = workshop / "new", workshop / "old"
        new.mkdir()
        write(new)
        try:
            if place.exists():
                place.rename(old)
            new.rename(place)
        except OSError as error:  # a mount point, for one, cannot be renamed
            got, do = str(error.strerror), "Name a folder inside it, or another place."
            expected = "a folder that can be replaced"
            raise InputError.of(str(target), got=got, expected=expected, do=do) from error
        finally:
            if old.exists() and not place.exists():
                old.rename(place)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file with Unix line ends; readers see the old or the new, never half.

    Parameters
    ----------
    path
        The file; missing parents are made.
    text
        Its whole content.

    Raises
    ------
    InputError
        When `path` is a folder or cannot be written.

    Examples
    --------
    >>> file = Path(tempfile.mkdtemp()) / "plan.json"
    >>> write_text_atomic(file, "{}")
    >>> file.read_text()
    '{}'
    """
    write_bytes_atomic(path, text.encode("utf-8"))


def write_bytes_atomic(path: str | Path, content: bytes) -> None:
    """Write a file as :func:`write_text_atomic` does, byte for byte.

    Parameters
    ----------
    path
        The file; missing parents are made.
    content
        Its whole content.

    Raises
    ------
    InputError
        When `path` is a folder or cannot be written.
    """
    place = Path(path).resolve()
    if place.is_dir():
        do = "Name a file inside it."
        raise InputError.of(str(path), got="a folder", expected="a file to write", do=do)
    with _workshop(place, shown=str(path)) as workshop:
        new = workshop / "new"
        new.write_bytes(content)
        new.replace(place)


def check_replaceable(
    target: str | Path, *, ours: str = "plan.json", known: Collection[str] | None = None
) -> None:
    """Refuse a folder that :func:`swap_folder` must not replace.

    Parameters
    ----------
    target
        The folder; missing and empty ones are fine.
    ours
        The file by which a folder of our own is known.
    known
        The names that it may hold; anything else is somebody's work. None: any name.

    Raises
    ------
    InputError
        When it is a file, somebody else's folder, or holds something that is not ours.
    """
    place, shown = Path(target).resolve(), str(target)
    expected = f"a new folder, an empty one, or one that holds {ours}"
    if place.exists() and not place.is_dir():
        raise InputError.of(shown, got="a file", expected=expected, do="Name another folder.")
    if place.is_dir() and not (place / ours).is_file() and any(place.iterdir()):
        got = f"a folder that holds other files and no {ours}"
        do = "Name another folder, or empty this one."
        raise InputError.of(shown, got=got, expected=expected, do=do)
    if known is None or not place.is_dir():
        return
    others = sorted(entry.name for entry in place.iterdir() if entry.name not in known)
    if others:
        raise InputError.of(
            shown,
            got=f"a folder that also holds {', '.join(others[:5])}",
            expected=f"nothing in it besides {', '.join(sorted(known))}",
            do="Name a folder of its own: replacing this one would delete them.",
        )


@contextlib.contextmanager
def _workshop(place: Path, *, shown: str) -> Iterator[Path]:
    """Make a hidden folder beside `place`; take it away again, with parents made in vain."""
    made = [parent for parent in place.parents if not parent.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    except OSError as error:
        got, do = str(error.strerror), "Make its parent folder writable, or name another place."
        raise InputError.of(shown, got=got, expected="a place to write", do=do) from error
    try:
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        for parent in made:  # innermost first; a parent in use is not empty and stays
            with contextlib.suppress(OSError):
                parent.rmdir()
