"""Write the list of functions anew: ``python -m tests.runtime.write_list``. Read the difference before you commit."""

from __future__ import annotations

import json
import tempfile

from tests.runtime.host import Worker
from tests.runtime.test_apps import LISTED, told


def main() -> None:
    listed = {}
    for app in ("function_app", "relay_app"):
        with tempfile.TemporaryDirectory() as folder, Worker(f"{app}.py", {"DATA_DIR": folder}) as worker:
            worker.index()
            listed[app] = told(worker)
    LISTED.write_text(json.dumps(listed, indent=1) + "\n")


if __name__ == "__main__":
    main()
