"""A short hash of settings."""

import hashlib
import json


def content_hash(content: object) -> str:
    """Twelve hexadecimal digits that depend on plain data, and not on the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
