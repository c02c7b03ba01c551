"""Opens an agent of NIXL that moves bytes between host memory and files."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

from kvtransfer.errors import ConfigError
from kvtransfer.stores.nixl.library import nixl_api, nixl_errors

_PLUGIN = "POSIX"
# With io_uring no call waits for the disk. Where the kernel or a container forbids it, the plugin's
# own choice may let the call that begins a transfer through the page cache wait.
_QUEUES: tuple[dict[str, str], ...] = ({"use_uring": "true"}, {})


def posix_agent() -> Any:  # noqa: ANN401 - NIXL has no types
    """Open an agent with the POSIX plugin, which any thread may use.

    Raises:
        ConfigError: NIXL isn't installed, or has no such plugin here.
    """
    api = nixl_api()
    config = api.nixl_agent_config(
        enable_prog_thread=False,
        backends=[],
        sync_mode=api.nixl_thread_sync_t.NIXL_THREAD_SYNC_STRICT,
    )
    agent = api.nixl_agent(f"kvtransfer-{os.getpid()}-{uuid4().hex}", config)
    for queue in _QUEUES:
        try:
            agent.create_backend(_PLUGIN, queue)
        except nixl_errors() as error:
            cause = str(error)
        else:
            return agent
    raise ConfigError(f"nixl://posix can't be used here: NIXL's {_PLUGIN} plugin says {cause}")
