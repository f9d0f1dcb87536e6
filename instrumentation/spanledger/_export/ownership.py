"""Who may touch a spool directory: one living process, told by a lock that the kernel gives back when it dies."""

import contextlib
import os
import secrets
import sys
from pathlib import Path

_LOCK_NAME = "lock"
_ATTEMPTS = 5


class OwnedDirectory:
    """A directory below the spool root that this process, and no other, writes and reads."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    @classmethod
    def create(cls, root: Path) -> "OwnedDirectory":
        """Make and lock a new private directory.

        Raises:
            OSError: The root cannot be made, is not ours, or cannot be locked.
        """
        if sys.platform == "win32":
            raise OSError("the disk spool needs POSIX file locks")
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_foreign(root)
        for _ in range(_ATTEMPTS):  # another process may take a new directory for an orphan before it is locked
            path = root / f"{os.getpid()}-{secrets.token_hex(4)}"
            path.mkdir(mode=0o700)
            owned = cls.claim(path, os.O_CREAT)
            if owned is not None:
                return owned
        raise OSError(f"cannot lock a directory below {root}")

    @classmethod
    def claim(cls, path: Path, flags: int = 0) -> "OwnedDirectory | None":
        """Lock a directory, or return ``None`` while another process lives in it."""
        if sys.platform == "win32":
            return None
        try:
            fd = os.open(path / _LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
        except OSError:
            return None
        if _lock(fd) and _is_same_file(fd, path / _LOCK_NAME):
            return cls(path, fd)
        os.close(fd)
        return None

    def forget(self) -> None:
        """Close the handle in a forked child; the parent's lock stays."""
        os.close(self._lock_fd)

    def release(self) -> None:
        """Let others adopt what is left here, or remove the directory if nothing is."""
        with contextlib.suppress(OSError):
            if os.listdir(self.path) == [_LOCK_NAME]:  # noqa: PTH208 -- names are all we need
                (self.path / _LOCK_NAME).unlink()
                self.path.rmdir()
        os.close(self._lock_fd)


def _lock(fd: int) -> bool:
    """Take the lock without waiting; it ends with the process, however that ends."""
    if sys.platform == "win32":
        return False
    import fcntl  # noqa: PLC0415 -- absent on Windows

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_same_file(fd: int, path: Path) -> bool:
    """Whether the locked file still is the one in the directory; a cleaner may have removed it in between."""
    with contextlib.suppress(OSError):
        return os.fstat(fd).st_ino == path.stat().st_ino
    return False


def _refuse_foreign(root: Path) -> None:
    """Spans of ours do not go where another user could read or plant them."""
    if sys.platform != "win32" and root.stat().st_uid != os.geteuid():
        raise PermissionError(f"{root} belongs to another user")
