"""The address of the repository that the pages are built from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path


def address() -> str | None:
    """Return the web address of the checkout's remote, if it has one."""
    command = "git", "-C", str(Path(__file__).parent), "remote", "get-url", "origin"
    try:
        remote = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return web_address(remote.strip())


def web_address(remote: str) -> str | None:
    """Return what a browser opens for a remote; None if that is a folder."""
    found = re.fullmatch(r"(?:https://|(?:ssh://)?git@)([\w.-]+)[:/](.+?)(?:\.git)?/?", remote)
    return f"https://{found[1]}/{found[2]}" if found else None
