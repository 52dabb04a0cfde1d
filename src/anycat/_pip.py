"""The command by which messages install packages: it finds the Python that runs."""

import shlex
import sys

PIP = f"{shlex.quote(sys.executable or 'python')} -m pip"
