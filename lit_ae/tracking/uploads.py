"""Checkpoints of a run whose artifacts are on another machine: uploaded while it trains, and fetched to go on from."""

import shutil
import threading
import zipfile
import zlib
from pathlib import Path

from lit_ae.tracking.runs import checkpoint_folder, has_local_artifacts
from lit_ae.tracking.store import client
from lit_ae.tracking.unsent import sent_or_kept

LAST = "last.ckpt"
_one_at_a_time = threading.Lock()  # so that no file replaces a newer one of the same name


class CheckpointUploads:
    """Uploads those files among a run's checkpoints that have changed since the last call."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.folder = None if has_local_artifacts(run_id) else checkpoint_folder(run_id)
        self.seen: dict[Path, int] = {}  # file -> time of its last change, in ns

    def upload(self) -> None:
        """Upload them; does nothing if the artifacts are local files."""
        if self.folder is None or not self.folder.is_dir():
            return
        with _one_at_a_time:
            for path in sorted(self.folder.rglob("*.ckpt")):  # Lightning moves each here when it is whole
                changed = path.stat().st_mtime_ns
                if self.seen.get(path) != changed:
                    within = path.parent.relative_to(self.folder).as_posix()
                    client().log_artifact(self.run_id, str(path), f"checkpoints/{within}".removesuffix("/."))
                    self.seen[path] = changed


@sent_or_kept
def upload_checkpoints(run_id: str) -> None:
    """Copy the checkpoints to the run's artifacts if these are on another machine."""
    folder = checkpoint_folder(run_id)
    if not has_local_artifacts(run_id) and folder.is_dir():
        with _one_at_a_time:
            client().log_artifacts(run_id, str(folder), "checkpoints")


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is there with the checksums that it states; of one that is damaged a line tells."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() is not None
    except FileNotFoundError:
        return False
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError):
        damaged = True
    if damaged:
        print(f"{path} is damaged and is not used")
    return not damaged


def has_last_checkpoint(run_id: str) -> bool:
    """Whether a run's artifacts hold the checkpoint from which its training can go on."""
    if has_local_artifacts(run_id):
        return is_whole(checkpoint_folder(run_id) / LAST)
    return any(entry.path == f"checkpoints/{LAST}" for entry in client().list_artifacts(run_id, "checkpoints"))


def fetch_checkpoints(run_id: str) -> Path | None:
    """The checkpoint from which a run that was stopped can go on, as a local file; None if it has none.

    All its checkpoints are downloaded to where the training keeps them, as the best ones are compared with later ones.
    """
    folder = checkpoint_folder(run_id)
    if not has_last_checkpoint(run_id):
        return None
    if not has_local_artifacts(run_id):
        part = folder.with_suffix(".part")
        part.mkdir(parents=True, exist_ok=True)
        downloaded = Path(client().download_artifacts(run_id, "checkpoints", str(part)))
        shutil.rmtree(folder, ignore_errors=True)  # this machine's own may be those of an earlier attempt
        downloaded.replace(folder)
        shutil.rmtree(part)
    return folder / LAST
